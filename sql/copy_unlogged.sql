-- $1 migration, $2 store, $3 source oids. What these tables are on the target, where they are unlogged.
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM leat.copy k
JOIN pg_catalog.pg_class c ON c.relpersistence = 'u' AND c.relkind = 'r'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname || '.' || c.relname = k.table_name
WHERE k.migration = $1 AND k.store = $2 AND k.table_oid = ANY ($3::pg_catalog.oid[])
ORDER BY 1
