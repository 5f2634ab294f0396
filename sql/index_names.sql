-- The indexes of the database's own tables, by schema and name, with their table.
SELECT n.nspname, x.relname, c.relname
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid AND c.relkind = 'r' AND c.relpersistence <> 't'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat') AND i.indisvalid
ORDER BY n.nspname::text COLLATE "C", x.relname::text COLLATE "C"
