-- Tables whose old rows could not be told apart: no key, one that is DEFERRABLE, or none wanted (traps P6, P34); the statement that
-- gives them an identity; what stands now, as the statement that brings it back. What doctor says and what arming does is this.
SELECT n.nspname, c.relname,
    CASE WHEN c.relreplident = 'n' THEN 'its replica identity is NOTHING'
        WHEN c.relreplident = 'i' THEN 'the index of its replica identity is gone or invalid'
        WHEN d.indexrelid IS NOT NULL THEN 'its primary key is DEFERRABLE, which counts as none'
        ELSE 'it has no primary key' END
    || CASE WHEN u.name IS NULL THEN ', and no unique index over NOT NULL columns'
        ELSE '; its unique index ' || quote_ident(u.name) || ' can serve' END,
    format('ALTER TABLE %I.%I REPLICA IDENTITY ', n.nspname, c.relname)
    || CASE WHEN u.name IS NULL THEN 'FULL' WHEN u.key THEN 'DEFAULT' ELSE 'USING INDEX ' || quote_ident(u.name) END,
    format('ALTER TABLE %I.%I REPLICA IDENTITY ', n.nspname, c.relname) || CASE c.relreplident WHEN 'd' THEN 'DEFAULT' ELSE 'NOTHING' END,
    c.oid
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisvalid
    AND CASE c.relreplident WHEN 'i' THEN i.indisreplident WHEN 'd' THEN i.indisprimary AND i.indimmediate ELSE false END
LEFT JOIN pg_catalog.pg_index d ON d.indrelid = c.oid AND d.indisprimary AND NOT d.indimmediate
LEFT JOIN LATERAL (
    SELECT x.relname::text AS name, k.indisprimary AS key
    FROM pg_catalog.pg_index k JOIN pg_catalog.pg_class x ON x.oid = k.indexrelid
    WHERE k.indrelid = c.oid AND k.indisunique AND k.indimmediate AND k.indisvalid AND k.indpred IS NULL AND k.indexprs IS NULL
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = c.oid AND a.attnum = ANY (k.indkey) AND NOT a.attnotnull)
    ORDER BY k.indisprimary DESC, k.indnatts, x.relname
    LIMIT 1) u ON true
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND c.relreplident <> 'f' AND i.indexrelid IS NULL
    AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
ORDER BY 1, 2
