-- $1 migration, $2 store, $3 source oids. Their tables are to be copied: the next attempt, which nothing is known of yet.
UPDATE leat.copy SET attempt = attempt + 1, snapshot = '', snapshot_name = NULL, ranges = 0, pages = 0, rows = 0, copied = false, built = built OR indexed, indexed = false,
    pass = NULL, joined = NULL, filenode = NULL, unlogged = false
WHERE migration = $1 AND store = $2 AND table_oid = ANY ($3::pg_catalog.oid[])
RETURNING table_name, attempt
