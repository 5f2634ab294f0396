-- Every sequence that has been used, outside CYCLE ones (they move inside the switch only).
SELECT s.schemaname, s.sequencename, s.last_value, s.increment_by, s.cache_size, s.min_value, s.max_value
FROM pg_catalog.pg_sequences s
WHERE s.last_value IS NOT NULL AND NOT s.cycle AND s.schemaname <> 'leat'
