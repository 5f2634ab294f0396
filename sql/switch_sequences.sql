-- $1 oid: the next sequences after it, for the switch, at most 500 (each is locked until the statement ends). CYCLE ones, too: nobody
-- moves them any more.
SELECT n.nspname, c.relname, pg_catalog.pg_sequence_last_value(c.oid), s.seqincrement, s.seqcache, s.seqmin, s.seqmax, s.seqcycle, c.oid
FROM pg_catalog.pg_sequence s
JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE s.seqrelid > $1::pg_catalog.oid AND n.nspname <> 'leat' AND c.relpersistence <> 't'
ORDER BY s.seqrelid
LIMIT 500
