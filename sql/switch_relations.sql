-- Every relation rows can be written to, root or leaf, a row a table its rows land in (itself, or its leaves); whether it has the fence of that
-- name ($1), and how that stands; and a number that is another whenever a column of it came, went or changed (of
-- the transactions that wrote their rows: each change makes it larger). Trap: a root's statement triggers
-- fire where the root is named, a leaf's where the leaf is. All at once: a search below each one by itself took 50 ms for 200 tables (17, no partitions).
WITH RECURSIVE own AS (
    SELECT c.oid, n.nspname, c.relname,
        (SELECT pg_catalog.sum(a.xmin::text::int8) FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0) AS columns
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence IN ('p', 'u') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')),
below AS (
    SELECT own.oid AS root, own.oid AS oid FROM own
    UNION
    SELECT b.root, i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid)
SELECT o.oid, o.nspname, o.relname, ln.nspname, lc.relname, t.tgenabled, o.columns
FROM own o
JOIN below b ON b.root = o.oid
JOIN pg_catalog.pg_class lc ON lc.oid = b.oid AND lc.relkind = 'r'
JOIN pg_catalog.pg_namespace ln ON ln.oid = lc.relnamespace
LEFT JOIN pg_catalog.pg_trigger t ON t.tgrelid = o.oid AND t.tgname = $1
ORDER BY o.oid
