-- Roles that own anything in this database or are granted anything in it, with whether they log in.
SELECT r.rolname, r.rolcanlogin
FROM pg_catalog.pg_roles r
WHERE r.rolname !~ '^pg_' AND r.oid IN (
    SELECT d.refobjid FROM pg_catalog.pg_shdepend d
    WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass
        AND (d.dbid = (SELECT b.oid FROM pg_catalog.pg_database b WHERE b.datname = current_database())
            OR (d.classid = 'pg_catalog.pg_database'::regclass AND d.objid = (SELECT b.oid FROM pg_catalog.pg_database b WHERE b.datname = current_database())))
    UNION
    SELECT c.relowner FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat'))
ORDER BY 1
