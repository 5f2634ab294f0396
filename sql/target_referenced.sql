-- $1 a table of the target, quoted. Whether a foreign key of another table stands on it: then it cannot be truncated alone.
SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' AND k.confrelid = $1::pg_catalog.regclass AND k.conrelid <> k.confrelid LIMIT 1
