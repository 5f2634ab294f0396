-- Unlogged tables write no WAL: nothing of them is in the stream (trap P21).
SELECT n.nspname, c.relname,
    'it is UNLOGGED: its rows are copied once, changes after that do not follow',
    format('ALTER TABLE %I.%I SET LOGGED', n.nspname, c.relname)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
ORDER BY 1, 2
