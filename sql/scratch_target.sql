-- One row each, by id: 1 a bit flipped, 2 a delete lost, 3 an insert lost, 4 columns exchanged, 5 a row twice, 6 an update lost,
-- 7 a text cut off, 8 another time zone, 9 -0 for 0, 10 NULL for empty.
TRUNCATE leat.scratch;
INSERT INTO leat.scratch
SELECT g, 'text ' || g, 'other ' || g, g / 8.0, timestamptz '2024-03-31 01:30:00+00' + g * interval '1 minute'
FROM pg_catalog.generate_series(1, 200) g;
UPDATE leat.scratch SET n = 0 WHERE id = 9;
UPDATE leat.scratch SET a = '' WHERE id = 10;
UPDATE leat.scratch SET a = 'uext 1' WHERE id = 1;
DELETE FROM leat.scratch WHERE id = 3;
UPDATE leat.scratch SET a = b, b = a WHERE id = 4;
INSERT INTO leat.scratch SELECT * FROM leat.scratch WHERE id = 5;
UPDATE leat.scratch SET b = 'before' WHERE id = 6;
UPDATE leat.scratch SET b = 'other' WHERE id = 7;
UPDATE leat.scratch SET at = at + interval '1 hour' WHERE id = 8;
UPDATE leat.scratch SET n = '-0' WHERE id = 9;
UPDATE leat.scratch SET a = NULL WHERE id = 10
