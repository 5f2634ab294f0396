-- The collations this database can use.
SELECT n.nspname, k.collname, coalesce(k.collversion, '')
FROM pg_catalog.pg_collation k
JOIN pg_catalog.pg_namespace n ON n.oid = k.collnamespace
WHERE k.collencoding IN (-1, (SELECT d.encoding FROM pg_catalog.pg_database d WHERE d.datname = current_database()))
ORDER BY 1, 2
