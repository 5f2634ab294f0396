-- Who may log in, and what his password is known by. Roles whose password has run out are left out, as the server does.
SELECT rolname, rolpassword FROM pg_catalog.pg_authid
WHERE rolcanlogin AND rolpassword IS NOT NULL AND (rolvaliduntil IS NULL OR rolvaliduntil > pg_catalog.now())
