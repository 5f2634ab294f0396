-- Indexes that are not valid: they would be built on the target like the others, and may fail there.
SELECT n.nspname, c.relname,
    format('index %I is not valid (a CREATE INDEX CONCURRENTLY that failed): it would be built on the target, where it may fail again', x.relname),
    format('DROP INDEX %I.%I', n.nspname, x.relname)
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid AND x.relkind = 'i'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
ORDER BY 1, 2, 3
