-- Roles of the target. {authid}: as on the source.
SELECT r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication, r.rolbypassrls, r.rolconnlimit, r.rolpassword
FROM {authid} r ORDER BY r.rolname
