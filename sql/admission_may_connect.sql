-- $1 the doors' role, or NULL: who may log in to this database all the same, and whether as a superuser, from whom nothing can be taken.
SELECT r.rolname, r.rolsuper
FROM pg_catalog.pg_roles r
WHERE r.rolcanlogin AND r.rolname <> session_user AND r.rolname IS DISTINCT FROM $1::pg_catalog.name
    AND pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'CONNECT')
ORDER BY r.rolsuper, r.rolname
