-- What no stream carries, in a few words that are others whenever it changes: unlogged tables with rows, and large objects.
SELECT pg_catalog.concat_ws(' ',
    (SELECT pg_catalog.string_agg(c.oid::text, ',' ORDER BY c.oid) FROM pg_catalog.pg_class c
        WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND pg_catalog.pg_relation_size(c.oid) > 0),
    ':', (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(m.oid::int8)) FROM pg_catalog.pg_largeobject_metadata m))
