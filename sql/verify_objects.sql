-- What stands around the rows, a text each: schema, relation (or function, or type), what it is, its name, what is said of it. Both sides'
-- texts are compared as they are, so nothing is said here in words that differ between versions.
SELECT n.nspname, c.relname, 'index', x.relname,
    CASE WHEN i.indisvalid AND i.indisready THEN 'valid' ELSE 'not valid' END || CASE WHEN i.indisunique THEN ', unique' ELSE '' END
    || CASE WHEN i.indisprimary THEN ', primary' ELSE '' END || CASE WHEN i.indimmediate THEN '' ELSE ', deferrable' END
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
UNION ALL
SELECT n.nspname, c.relname, 'constraint', k.conname,
    CASE k.contype WHEN 'f' THEN 'foreign key' WHEN 'c' THEN 'check' WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique' ELSE 'exclusion' END
    || CASE WHEN k.convalidated THEN '' ELSE ', not valid' END || CASE WHEN k.condeferrable THEN ', deferrable' ELSE '' END
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype IN ('f', 'c', 'p', 'u', 'x') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
UNION ALL
SELECT n.nspname, c.relname, 'trigger', t.tgname,
    CASE t.tgenabled WHEN 'O' THEN 'enabled' WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' ELSE 'always' END
FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND t.tgname !~ '^leat_fence_' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
UNION ALL
SELECT n.nspname, c.relname, 'row security', '', CASE WHEN c.relforcerowsecurity THEN 'forced' ELSE 'on' END
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relrowsecurity AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
UNION ALL
SELECT n.nspname, c.relname, 'grant', CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_catalog.pg_get_userbyid(a.grantee)::text END,
    a.privilege_type || CASE WHEN a.is_grantable THEN ' with grant option' ELSE '' END
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
    AND a.privilege_type <> 'MAINTAIN'
UNION ALL
SELECT n.nspname, c.relname, 'materialized view', '', CASE WHEN c.relispopulated THEN 'populated' ELSE 'not populated' END
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
UNION ALL
SELECT n.nspname, p.proname, 'function', pg_catalog.pg_get_function_identity_arguments(p.oid),
    l.lanname || ', ' || CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END || CASE WHEN p.proisstrict THEN ', strict' ELSE '' END
    || CASE WHEN p.prosecdef THEN ', security definer' ELSE '' END || ', ' || pg_catalog.md5(p.prosrc)
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat') AND l.lanname <> 'internal'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype IN ('e', 'i'))
UNION ALL
SELECT n.nspname, t.typname, 'enum', '', pg_catalog.string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder)
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_enum e ON e.enumtypid = t.oid
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
GROUP BY 1, 2
UNION ALL
SELECT n.nspname, t.typname, 'domain', '', pg_catalog.format_type(t.typbasetype, t.typtypmod) || CASE WHEN t.typnotnull THEN ' not null' ELSE '' END
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype = 'd' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
UNION ALL
SELECT n.nspname, c.relname, CASE c.relkind WHEN 'v' THEN 'view' ELSE 'composite type' END, '',
    pg_catalog.string_agg(a.attname || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('v', 'c') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
GROUP BY c.relkind, 1, 2
