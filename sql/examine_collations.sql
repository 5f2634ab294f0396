-- Collations that columns name themselves, with one table each, and whether the collation is the server's own.
SELECT kn.nspname, k.collname, k.collprovider, coalesce(k.collversion, ''), n.nspname, c.relname, a.attname
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_collation k ON k.oid = a.attcollation
JOIN pg_catalog.pg_namespace kn ON kn.oid = k.collnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat') AND k.collname NOT IN ('default', 'C', 'POSIX')
ORDER BY 1, 2, 5, 6
