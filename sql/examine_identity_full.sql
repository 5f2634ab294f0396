-- Tables that identify their rows by all columns although an index could serve.
SELECT n.nspname, c.relname,
    'REPLICA IDENTITY FULL, although its unique index ' || quote_ident(u.name) || ' could serve: each change carries and looks up the whole row',
    format('ALTER TABLE %I.%I REPLICA IDENTITY ', n.nspname, c.relname)
    || CASE WHEN u.key THEN 'DEFAULT' ELSE 'USING INDEX ' || quote_ident(u.name) END
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN LATERAL (
    SELECT x.relname::text AS name, k.indisprimary AS key
    FROM pg_catalog.pg_index k JOIN pg_catalog.pg_class x ON x.oid = k.indexrelid
    WHERE k.indrelid = c.oid AND k.indisunique AND k.indimmediate AND k.indisvalid AND k.indpred IS NULL AND k.indexprs IS NULL
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = c.oid AND a.attnum = ANY (k.indkey) AND NOT a.attnotnull)
    ORDER BY k.indisprimary DESC, k.indnatts, x.relname
    LIMIT 1) u ON true
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND c.relreplident = 'f'
    AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
ORDER BY 1, 2
