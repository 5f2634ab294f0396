-- What changes when a table, column or index of the database's own comes, goes or changes, in a few numbers; NULL where an event
-- trigger of leat's notes that. Sums, since no order is needed for them.
SELECT CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_event_trigger e WHERE e.evtname = 'leat_ddl' AND e.evtenabled <> 'D') THEN NULL ELSE
    (SELECT pg_catalog.concat_ws(' ', pg_catalog.count(*), pg_catalog.sum(c.oid::int8), pg_catalog.sum(pg_catalog.hashtext(c.relname)::int8), pg_catalog.sum(c.relnamespace::int8),
        pg_catalog.sum(pg_catalog.ascii(c.relreplident::text)))
        FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'i') AND c.oid >= 16384 AND c.relpersistence <> 't')
    || ' ' || (SELECT pg_catalog.concat_ws(' ', pg_catalog.count(*), pg_catalog.sum(a.atttypid::int8), pg_catalog.sum(a.atttypmod::int8), pg_catalog.sum(a.attnotnull::int4),
        pg_catalog.sum(pg_catalog.hashtext(a.attname)::int8))
        FROM pg_catalog.pg_attribute a WHERE a.attrelid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped) END
