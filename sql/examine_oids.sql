-- Tables WITH OIDS (up to 11): the hidden column is not in the stream and does not exist from 12 on (trap P34).
SELECT n.nspname, c.relname,
    'it was made WITH OIDS: the hidden oid column is not replicated, and the target gives none',
    format('ALTER TABLE %I.%I SET WITHOUT OIDS', n.nspname, c.relname)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relhasoids AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
ORDER BY 1, 2
