-- Every ordinary table and partition leaf that holds rows of the database's own, with what gives its rows their identity.
-- {keys}: the number of key columns of an index, by version. Sizes are real, not the planner's.
SELECT c.oid, n.nspname, c.relname, pg_catalog.pg_get_userbyid(c.relowner), c.relispartition, c.relpersistence = 'u', c.relrowsecurity,
    c.relreplident, ic.relname, ARRAY(SELECT k.a FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k (a, nr) WHERE k.nr <= {keys}),
    coalesce(p.indisprimary AND NOT p.indimmediate, false),
    coalesce(pg_catalog.pg_table_size(c.oid), 0),
    coalesce(pg_catalog.pg_relation_size(c.oid), 0) / pg_catalog.current_setting('block_size')::int8,
    c.reltuples, coalesce(pg_catalog.pg_relation_filenode(c.oid), 0)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index p ON p.indrelid = c.oid AND p.indisprimary
LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisvalid
    AND CASE c.relreplident WHEN 'i' THEN i.indisreplident WHEN 'd' THEN i.indisprimary AND i.indimmediate ELSE false END
LEFT JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
WHERE c.relkind = 'r' AND c.relpersistence IN ('p', 'u') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
