-- What the roles that may log in are known by, as sums: a door opens both sides with one answer only where they are the same.
SELECT a.rolname, pg_catalog.md5(a.rolpassword) FROM pg_catalog.pg_authid a
WHERE a.rolcanlogin AND a.rolpassword IS NOT NULL AND NOT a.rolsuper AND a.rolname <> session_user
