-- Sequences that begin anew at their end cannot be kept ahead: they move inside the switch (trap P12).
SELECT s.schemaname, s.sequencename, 'it is CYCLE: it is carried over inside the switch, not kept ahead before', ''
FROM pg_catalog.pg_sequences s
WHERE s.cycle AND s.schemaname <> 'leat'
ORDER BY 1, 2
