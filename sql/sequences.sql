-- $1 oid, $2 boolean: the next sequences after it, at most 500 (each is locked until the statement ends); CYCLE ones, too, where $2 says so: those move
-- inside the switch only. last: NULL where none was taken since it was made, or set by setval(..., false).
SELECT n.nspname, c.relname, pg_catalog.pg_sequence_last_value(c.oid), s.seqincrement, s.seqcache, s.seqmin, s.seqmax, s.seqcycle, s.seqstart,
    pg_catalog.has_sequence_privilege(c.oid, 'SELECT'), c.oid
FROM pg_catalog.pg_sequence s
JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE s.seqrelid > $1::pg_catalog.oid AND ($2::pg_catalog.bool OR NOT s.seqcycle) AND n.nspname <> 'leat' AND c.relpersistence <> 't'
ORDER BY s.seqrelid
LIMIT 500
