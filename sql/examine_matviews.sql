-- Materialized views are not in the stream: made empty on the target, then refreshed (trap P21).
SELECT n.nspname, c.relname,
    format('materialized view of %s: it is refreshed on the target when all tables are there, and by nobody after that',
        pg_size_pretty(pg_table_size(c.oid))),
    ''
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
ORDER BY 1, 2
