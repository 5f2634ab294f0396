-- Tablespaces in which relations of this database lie by name, and every one there is.
SELECT t.spcname, pg_tablespace_location(t.oid), (SELECT count(*) FROM pg_catalog.pg_class c WHERE c.reltablespace = t.oid AND c.relkind <> 't')
FROM pg_catalog.pg_tablespace t
WHERE t.spcname NOT IN ('pg_default', 'pg_global')
ORDER BY 1
