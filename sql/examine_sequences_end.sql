-- $1: oids. Those of which more than nine tenths are used (trap P12): kept ahead on the other side, they get there sooner.
SELECT q.nspname, q.relname,
    format('it stands at %s and ends at %s: %s %% is used', q.last, CASE WHEN q.seqincrement > 0 THEN q.seqmax ELSE q.seqmin END, round(100 * q.used, 1)),
    format('ALTER SEQUENCE %I.%I AS bigint NO MAXVALUE; -- and its column: ALTER TABLE ... ALTER COLUMN ... TYPE bigint', q.nspname, q.relname)
FROM (
    SELECT n.nspname, c.relname, s.*, l.last,
        CASE WHEN s.seqincrement > 0 THEN l.last - s.seqmin::numeric ELSE s.seqmax::numeric - l.last END / (s.seqmax::numeric - s.seqmin) AS used
    FROM pg_catalog.pg_sequence s
    JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (SELECT CASE c.relkind WHEN 'S' THEN pg_sequence_last_value(c.oid) END::numeric AS last) l
    WHERE s.seqrelid = ANY ($1::oid[])) q
WHERE q.used > 0.9
ORDER BY 1, 2
