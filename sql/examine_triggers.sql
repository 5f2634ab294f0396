-- Triggers and rules that fire for replicated rows too (trap P9): what they write would be written twice.
SELECT n.nspname, c.relname,
    format('trigger %I is ENABLE %s: on the target it would fire again for every row that already carries its effect', t.tgname,
        CASE t.tgenabled WHEN 'A' THEN 'ALWAYS' ELSE 'REPLICA' END),
    format('ALTER TABLE %I.%I ENABLE TRIGGER %I', n.nspname, c.relname, t.tgname)
FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT t.tgisinternal AND t.tgenabled IN ('A', 'R') AND t.tgname <> 'leat_fence' AND c.relkind IN ('r', 'p')
    AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
UNION ALL
SELECT n.nspname, c.relname,
    format('rule %I is ENABLE %s: on the target it would act again on every row that already carries its effect', w.rulename,
        CASE w.ev_enabled WHEN 'A' THEN 'ALWAYS' ELSE 'REPLICA' END),
    format('ALTER TABLE %I.%I ENABLE RULE %I', n.nspname, c.relname, w.rulename)
FROM pg_catalog.pg_rewrite w
JOIN pg_catalog.pg_class c ON c.oid = w.ev_class
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE w.ev_enabled IN ('A', 'R') AND w.rulename <> '_RETURN' AND c.relkind IN ('r', 'p')
    AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
ORDER BY 1, 2, 3
