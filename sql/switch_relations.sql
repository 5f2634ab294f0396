-- Every relation rows can be written to, root or leaf, with the tables its rows land in (itself, or its leaves), as an array of two
-- texts each; whether it has the fence of that name ($1), and how that stands; and a few numbers that are others whenever a column of it
-- came, went or changed. Trap: a root's statement triggers fire where the root is named, a leaf's where the leaf is.
SELECT c.oid, n.nspname, c.relname, l.nspname, l.relname, t.tgenabled, k.columns
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    WITH RECURSIVE below AS (
        SELECT c.oid AS oid
        UNION
        SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN below ON i.inhparent = below.oid)
    SELECT ln.nspname, lc.relname FROM below JOIN pg_catalog.pg_class lc ON lc.oid = below.oid AND lc.relkind = 'r'
    JOIN pg_catalog.pg_namespace ln ON ln.oid = lc.relnamespace) l
LEFT JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid AND t.tgname = $1
LEFT JOIN (
    SELECT a.attrelid, pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(a.xmin::text::int8)) AS columns
    FROM pg_catalog.pg_attribute a WHERE a.attnum > 0 AND a.attrelid >= 16384 GROUP BY a.attrelid) k ON k.attrelid = c.oid
WHERE c.relkind IN ('r', 'p') AND c.relpersistence IN ('p', 'u') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY c.oid
