-- Columns that name objects of the catalog: a value arrives as that name, and as a bare number when the object is gone.
SELECT n.nspname, c.relname,
    'values of ' || string_agg(format('%I (%s)', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
    || ' name objects of the catalog: they travel as names, and the object has to exist on the target under that name',
    ''
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r' AND c.relpersistence <> 't'
    AND t.typname ~ '^_?reg(class|proc|procedure|oper|operator|type|config|dictionary|namespace|role|collation)$'
    AND t.typnamespace = 'pg_catalog'::regnamespace AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
GROUP BY 1, 2
ORDER BY 1, 2
