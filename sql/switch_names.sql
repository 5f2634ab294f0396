-- $1 migration, $2 stream: the tables it brings, by their number on the side they come from, with what they are called on this one. Those copied
-- by a leat that did not write down which they were are left out.
SELECT k.table_oid, n.nspname, c.relname
FROM leat.copy k
JOIN pg_catalog.pg_class c ON c.oid = k.target_oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.migration = $1 AND k.store = $2
