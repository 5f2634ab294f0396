-- Every sequence, and the tables whose columns own it or take their default from it (read once for all: a look-up for each
-- sequence goes through every default of the database).
SELECT n.nspname, c.relname, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle, coalesce(u.tables, '{}')
FROM pg_catalog.pg_sequence s
JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN (
    SELECT p.seq, pg_catalog.array_agg(p.tab) AS tables
    FROM (
        SELECT o.objid AS seq, o.refobjid AS tab FROM pg_catalog.pg_depend o
        WHERE o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND o.deptype IN ('a', 'i')
            AND o.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND o.refobjsubid > 0
        UNION ALL
        SELECT d.refobjid, f.adrelid FROM pg_catalog.pg_attrdef f
        JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = f.oid
        WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> f.adrelid
    ) p
    GROUP BY p.seq
) u ON u.seq = c.oid
WHERE c.relpersistence IN ('p', 'u') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
