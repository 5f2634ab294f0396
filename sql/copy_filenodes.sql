-- $1 migration, $2 store. The file each table's rows were in when its snapshot was taken.
SELECT table_oid, filenode FROM leat.copy WHERE migration = $1 AND store = $2 AND filenode IS NOT NULL ORDER BY table_oid
