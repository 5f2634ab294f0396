-- What the verifier proves itself on: the same rows on both sides, but for the ten damages of scratch_target.sql.
TRUNCATE leat.scratch;
INSERT INTO leat.scratch
SELECT g, 'text ' || g, 'other ' || g, g / 8.0, timestamptz '2024-03-31 01:30:00+00' + g * interval '1 minute'
FROM pg_catalog.generate_series(1, 200) g;
UPDATE leat.scratch SET n = 0 WHERE id = 9;
UPDATE leat.scratch SET a = '' WHERE id = 10;
DELETE FROM leat.scratch WHERE id = 2
