-- Sequences near their end: being kept ahead on the other side must not push them over it (trap P12).
SELECT s.schemaname, s.sequencename,
    format('it stands at %s and ends at %s: %s %% is used', s.last_value, CASE WHEN s.increment_by > 0 THEN s.max_value ELSE s.min_value END,
        round(100 * CASE WHEN s.increment_by > 0 THEN (s.last_value::numeric - s.min_value) / (s.max_value::numeric - s.min_value)
            ELSE (s.max_value::numeric - s.last_value) / (s.max_value::numeric - s.min_value) END, 1)),
    format('ALTER SEQUENCE %I.%I AS bigint NO MAXVALUE; -- and its column: ALTER TABLE ... ALTER COLUMN ... TYPE bigint', s.schemaname, s.sequencename)
FROM pg_catalog.pg_sequences s
WHERE s.last_value IS NOT NULL AND NOT s.cycle AND s.max_value > s.min_value AND s.schemaname <> 'leat'
    AND 0.9 < CASE WHEN s.increment_by > 0 THEN (s.last_value::numeric - s.min_value) / (s.max_value::numeric - s.min_value)
        ELSE (s.max_value::numeric - s.last_value) / (s.max_value::numeric - s.min_value) END
ORDER BY 1, 2
