-- What post-data of a dump hangs on: catalog, object, its table, the table's kind; for keys and indexes whether they tell rows apart
-- (the replica identity, or without one the primary key).
SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::oid, i.indexrelid, i.indrelid, c.relkind,
    CASE WHEN c.relreplident = 'i' THEN i.indisreplident ELSE i.indisprimary END
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid WHERE i.indexrelid >= 16384
UNION ALL
SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass::oid, k.oid, k.conrelid, c.relkind,
    k.contype IN ('p', 'u', 'x') AND CASE WHEN c.relreplident = 'i' THEN i.indisreplident ELSE i.indisprimary END
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = k.conindid AND i.indrelid = k.conrelid
WHERE k.oid >= 16384
UNION ALL
SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass::oid, t.oid, t.tgrelid, c.relkind, false
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal
UNION ALL
SELECT 'pg_catalog.pg_rewrite'::pg_catalog.regclass::oid, r.oid, r.ev_class, c.relkind, false
FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class WHERE r.oid >= 16384
UNION ALL
SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass::oid, p.oid, p.polrelid, c.relkind, false
FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
UNION ALL
SELECT 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass::oid, s.oid, s.stxrelid, c.relkind, false
FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_class c ON c.oid = s.stxrelid
ORDER BY 1, 2
