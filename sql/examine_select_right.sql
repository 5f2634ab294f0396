-- Tables, and sequences, that leat's role may not read; schemas it may not look into.
SELECT n.nspname, c.relname, format('role %I may not look into schema %I', current_user, n.nspname),
    format('GRANT USAGE ON SCHEMA %I TO %I', n.nspname, current_user)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
    AND NOT has_schema_privilege(n.oid, 'USAGE')
UNION ALL
SELECT n.nspname, c.relname, format('role %I may not read it', current_user),
    format('GRANT SELECT ON %s %I.%I TO %I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname, current_user)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
    AND NOT CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT') ELSE has_table_privilege(c.oid, 'SELECT') END
ORDER BY 1, 4
