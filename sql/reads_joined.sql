-- $1 migration, $2 store. The tables that follow here, by their number on the source, as an array.
SELECT COALESCE(pg_catalog.array_agg(c.table_oid ORDER BY c.table_oid), '{}')::pg_catalog.text
FROM leat.copy c WHERE c.migration = $1 AND c.store = $2 AND c.joined IS NOT NULL AND NOT c.unlogged
