-- $1 source oids of tables that were unlogged when the engine that copied them read the catalog: those that are logged now.
SELECT pg_catalog.array_agg(c.oid)::text FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::pg_catalog.oid[]) AND c.relpersistence = 'p'
