-- What no stream carries: what it is, schema, name, and whether there is anything in it.
SELECT CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'unlogged table' END, n.nspname, c.relname, pg_catalog.pg_relation_size(c.oid) > 0
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE (c.relkind = 'm' OR (c.relkind = 'r' AND c.relpersistence = 'u')) AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
ORDER BY 1, 2, 3
