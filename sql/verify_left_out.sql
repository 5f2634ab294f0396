-- What no comparison of rows looks at, on the source: schema, name, why.
SELECT n.nspname, c.relname,
    CASE c.relkind WHEN 'm' THEN 'a materialized view: its rows are of its last REFRESH, on each side its own'
        WHEN 'f' THEN 'a foreign table: its rows are elsewhere'
        ELSE 'unlogged: its writes are not in the stream' END
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE (c.relkind IN ('m', 'f') OR (c.relkind = 'r' AND c.relpersistence = 'u')) AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
UNION ALL
SELECT '', 'large objects', pg_catalog.count(*)::text || ' of them: they are not carried'
FROM pg_catalog.pg_largeobject_metadata HAVING pg_catalog.count(*) > 0
ORDER BY 1, 2
