-- Tables of extensions that hold configuration (trap P21): a dump of the schema leaves their rows behind.
SELECT NULL, e.extname,
    format('extension %I keeps rows of its own in %s: they are not copied with the tables', e.extname,
        (SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY 1) FROM pg_catalog.pg_class c WHERE c.oid = ANY (e.extconfig) AND c.relkind = 'r')),
    (SELECT 'pg_dump --data-only' || string_agg(' --table=' || quote_literal(c.oid::regclass::text), '' ORDER BY c.oid::regclass::text)
        FROM pg_catalog.pg_class c WHERE c.oid = ANY (e.extconfig) AND c.relkind = 'r') || ' SOURCE | psql TARGET'
FROM pg_catalog.pg_extension e
WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = ANY (e.extconfig) AND c.relkind = 'r')
ORDER BY 2
