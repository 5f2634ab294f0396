-- Columns of types that are gone from 12 on (trap P34).
SELECT n.nspname, c.relname,
    format('column %I is of type %s, which PostgreSQL 12 and newer do not have', a.attname, format_type(a.atttypid, a.atttypmod)),
    format('ALTER TABLE %I.%I ALTER COLUMN %I TYPE %s', n.nspname, c.relname, a.attname,
        CASE e.typname WHEN 'abstime' THEN 'timestamptz' WHEN 'reltime' THEN 'interval' ELSE 'text' END || CASE WHEN e.oid <> b.oid THEN '[]' ELSE '' END
        || format(' USING %I::', a.attname)
        || CASE e.typname WHEN 'abstime' THEN 'timestamptz' WHEN 'reltime' THEN 'interval' ELSE 'text' END || CASE WHEN e.oid <> b.oid THEN '[]' ELSE '' END)
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
JOIN pg_catalog.pg_type e ON e.oid = CASE WHEN b.typelem <> 0 AND b.typlen = -1 THEN b.typelem ELSE b.oid END
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND e.typname IN ('abstime', 'reltime', 'tinterval') AND e.typnamespace = 'pg_catalog'::regnamespace
    AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
ORDER BY 1, 2, a.attnum
