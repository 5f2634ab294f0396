-- Where the record ends, and for which migration it is kept.
SELECT migration, seq, hash FROM head WHERE id = 1;
