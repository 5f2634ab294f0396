-- Columns of a pseudo-type, left from very old servers: pg_restore cannot make them.
SELECT n.nspname, c.relname,
    format('column %I is of the pseudo-type %s, which no server accepts in a new table', a.attname, format_type(a.atttypid, a.atttypmod)),
    format('ALTER TABLE %I.%I ALTER COLUMN %I TYPE text', n.nspname, c.relname, a.attname)
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid AND t.typtype = 'p'
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
ORDER BY 1, 2, a.attnum
