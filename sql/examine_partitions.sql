-- Partitioned tables, with their leaves.
SELECT n.nspname, c.relname,
    format('partitioned into %s leaves: rows are copied and followed leaf by leaf; a partition added meanwhile is a change of schema, under the DDL policy',
        (WITH RECURSIVE below AS (
            SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid
            UNION ALL SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN below b ON i.inhparent = b.inhrelid)
        SELECT count(*) FROM below b JOIN pg_catalog.pg_class l ON l.oid = b.inhrelid AND l.relkind <> 'p')),
    ''
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'p' AND NOT c.relispartition AND n.nspname !~ '^pg_' AND n.nspname <> 'leat'
ORDER BY 1, 2
