-- Sequences that begin anew at their end cannot be kept ahead: they move inside the switch (trap P12). Not from pg_sequences, which
-- locks every sequence for the length of the transaction.
SELECT n.nspname, c.relname, 'it is CYCLE: it is carried over inside the switch, not kept ahead before', ''
FROM pg_catalog.pg_sequence s
JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE s.seqcycle AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
ORDER BY 1, 2
