-- Whether a type came, went or was renamed since, or a function was made anew: not what it is, only that.
SELECT t.oid, t.typname::text, t.typnamespace FROM pg_catalog.pg_type t WHERE t.oid >= 16384 AND t.typtype <> 'p'
UNION ALL
SELECT p.oid, p.xmin::text, p.pronamespace FROM pg_catalog.pg_proc p WHERE p.oid >= 16384
ORDER BY 1, 2
