-- The types of users, by a name that is the same on every server: number, name, kind (typtype; 'a': an array), and the types in it by number:
-- an array's elements, what a domain is over, what a range or multirange is over, a composite's columns in order.
SELECT t.oid::text,
    CASE WHEN e.oid IS NULL THEN pg_catalog.format('%I.%I', n.nspname, t.typname) ELSE pg_catalog.format('%I.%I[]', en.nspname, e.typname) END,
    CASE WHEN e.oid IS NULL THEN t.typtype::text ELSE 'a' END,
    CASE WHEN e.oid IS NOT NULL THEN e.oid::text
        WHEN t.typtype = 'd' THEN t.typbasetype::text
        WHEN t.typtype = 'r' THEN (SELECT r.rngsubtype::text FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid)
        WHEN t.typtype = 'm' THEN (SELECT r.rngsubtype::text FROM pg_catalog.pg_range r WHERE pg_catalog.to_jsonb(r) ->> 'rngmultitypid' = t.oid::text)
        WHEN t.typtype = 'c' THEN (SELECT pg_catalog.string_agg(a.atttypid::text, ' ' ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
    END
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
LEFT JOIN pg_catalog.pg_namespace en ON en.oid = e.typnamespace
WHERE t.oid >= 16384 AND n.nspname !~ '^pg_(toast|temp)' AND (en.nspname IS NULL OR en.nspname !~ '^pg_(toast|temp)') AND n.nspname <> 'leat'
ORDER BY t.oid
