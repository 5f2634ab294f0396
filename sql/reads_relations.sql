-- Every relation by name, for reads on the target. $1: the tables that have joined there, by their number here. Schema, name, whether it and
-- all below it follow (without policies: those call what they like), a view's text, and whether it is the system's, or leat's.
WITH RECURSIVE below(root, oid) AS (
    SELECT c.oid, c.oid FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p') AND c.oid >= 16384
    UNION
    SELECT b.root, i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid),
follows AS (
    SELECT b.root, pg_catalog.bool_and(NOT c.relrowsecurity AND (c.relkind = 'p' OR (c.relkind = 'r' AND c.relpersistence = 'p' AND j.oid IS NOT NULL))) AS all_do
    FROM below b
    JOIN pg_catalog.pg_class c ON c.oid = b.oid
    LEFT JOIN pg_catalog.unnest($1::pg_catalog.oid[]) j(oid) ON j.oid = b.oid
    GROUP BY 1)
SELECT n.nspname, c.relname, COALESCE(f.all_do, false),
    CASE WHEN c.relkind = 'v' AND c.oid >= 16384 THEN pg_catalog.pg_get_viewdef(c.oid) END,
    c.oid < 16384 OR c.relkind = 'S' OR n.nspname IN ('leat', 'pg_catalog', 'information_schema')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN follows f ON f.root = c.oid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY 1, 2
