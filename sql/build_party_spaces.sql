-- Tablespaces leat's role may create in.
SELECT spcname FROM pg_catalog.pg_tablespace WHERE pg_catalog.has_tablespace_privilege(oid, 'CREATE') AND spcname <> 'pg_global'
