-- Sequences that end, by oid. Their state is asked for some at a time: asking locks them for the length of the transaction, and the
-- server's lock table is small.
SELECT n.nspname, c.relname, c.oid
FROM pg_catalog.pg_sequence s
JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT s.seqcycle AND s.seqmax > s.seqmin AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
    AND has_schema_privilege(n.oid, 'USAGE') AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT,USAGE') ELSE false END
ORDER BY 1, 2
