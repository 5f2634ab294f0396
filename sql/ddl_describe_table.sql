-- An expression over c (pg_class) and n (its pg_namespace): a table as replication has to know it. `limits`: what can refuse a row.
-- {generated}: whether column a is computed, by version.
pg_catalog.jsonb_build_object('oid', c.oid::int8, 'kind', c.relkind, 'schema', n.nspname, 'name', c.relname,
    'columns', coalesce((
        SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', a.attname, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
            'null', NOT a.attnotnull, 'made', {generated}) ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]'),
    'limits', coalesce((
        SELECT pg_catalog.jsonb_agg(l.name) FROM (
            SELECT x.relname AS name FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
            WHERE i.indrelid = c.oid AND (i.indisunique OR i.indisexclusion)
            UNION ALL
            SELECT k.conname FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c') l), '[]'))
