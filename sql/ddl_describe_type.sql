-- An expression over y (pg_type) and n (its pg_namespace): a type in the same form. An enum's labels, a composite's attributes or a
-- domain's value stand as its columns.
pg_catalog.jsonb_build_object('oid', y.oid::int8, 'kind', 'y', 'schema', n.nspname, 'name', y.typname,
    'columns', coalesce((
        SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', p.name, 'type', p.type, 'null', p.nullable, 'made', false)) FROM (
            SELECT e.enumlabel::text AS name, 'label'::text AS type, true AS nullable FROM pg_catalog.pg_enum e WHERE e.enumtypid = y.oid
            UNION ALL
            SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), true
            FROM pg_catalog.pg_attribute a WHERE a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped
            UNION ALL
            SELECT 'value', pg_catalog.format_type(y.typbasetype, y.typtypmod), NOT y.typnotnull WHERE y.typtype = 'd') p), '[]'),
    'limits', coalesce((
        SELECT pg_catalog.jsonb_agg(k.conname) FROM pg_catalog.pg_constraint k WHERE k.contypid = y.oid AND k.contype = 'c'), '[]'))
