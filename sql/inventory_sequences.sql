-- Every sequence, and the tables whose columns own it or take their default from it.
SELECT n.nspname, c.relname, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
    ARRAY(SELECT o.refobjid FROM pg_catalog.pg_depend o
        WHERE o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND o.objid = c.oid AND o.deptype IN ('a', 'i')
            AND o.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        UNION
        SELECT f.adrelid FROM pg_catalog.pg_depend u JOIN pg_catalog.pg_attrdef f ON f.oid = u.objid
        WHERE u.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND u.refobjid = c.oid
            AND u.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass)
FROM pg_catalog.pg_sequence s
JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence IN ('p', 'u') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
