-- Every type such a column has, domains unwrapped: whether its binary form is the same on all supported versions (a builtin of
-- the list, an array of one, an enum, a range over a builtin, a domain over any of these; the binary form of an array or of a
-- composite names types by number, so one of a type of the user's is not), and whether a cast from text would bypass the type's input function.
WITH RECURSIVE used AS (
    SELECT DISTINCT a.atttypid AS oid
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')
), unwrapped AS (
    SELECT u.oid, u.oid AS base FROM used u
    UNION ALL
    SELECT u.oid, t.typbasetype FROM unwrapped u JOIN pg_catalog.pg_type t ON t.oid = u.base AND t.typtype = 'd'
), stable AS (
    SELECT t.oid, t.typarray
    FROM pg_catalog.pg_type t
    WHERE t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace AND t.oid < 16384 AND t.typname = ANY (ARRAY[
        'bool', 'int2', 'int4', 'int8', 'float4', 'float8', 'numeric', 'money', 'oid', 'text', 'varchar', 'bpchar', 'char', 'name',
        'bytea', 'date', 'time', 'timetz', 'timestamp', 'timestamptz', 'interval', 'uuid', 'json', 'jsonb', 'inet', 'cidr',
        'macaddr', 'macaddr8', 'bit', 'varbit', 'point', 'lseg', 'line', 'path', 'box', 'polygon', 'circle', 'pg_lsn',
        'int4range', 'int8range', 'numrange', 'tsrange', 'tstzrange', 'daterange',
        'int4multirange', 'int8multirange', 'nummultirange', 'tsmultirange', 'tstzmultirange', 'datemultirange'])
)
SELECT u.oid,
    t.typtype = 'e'
    OR EXISTS (SELECT FROM stable s WHERE s.oid = u.base OR (s.typarray = u.base AND s.typarray <> 0))
    OR EXISTS (SELECT FROM pg_catalog.pg_range r JOIN stable s ON s.oid = r.rngsubtype WHERE r.rngtypid = u.base),
    NOT EXISTS (SELECT FROM pg_catalog.pg_cast k
        WHERE k.castsource = 'pg_catalog.text'::pg_catalog.regtype AND k.casttarget = u.base AND k.castmethod = 'f')
FROM unwrapped u
JOIN pg_catalog.pg_type t ON t.oid = u.base AND t.typtype <> 'd'
ORDER BY u.oid
