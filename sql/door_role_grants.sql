-- $1 the doors' role, $2 whether reads may be answered here (how far it is, it is asked then): the statements that give it what it lacks of what a door needs in schema leat, as far
-- as that is there yet. Of the functions only those that settle who serves, which take nothing from a side that serves by itself: not gate, decide,
-- force_open. One that does not run with its owner's rights (made by an older leat) would be of no use to it.
WITH r AS (
    SELECT x.oid, pg_catalog.quote_ident(x.rolname) AS name FROM pg_catalog.pg_roles x
    WHERE x.rolname = $1::pg_catalog.name AND x.rolname <> session_user),
n AS (SELECT x.oid FROM pg_catalog.pg_namespace x WHERE x.nspname = 'leat')
SELECT pg_catalog.format('GRANT USAGE ON SCHEMA leat TO %s', r.name)
FROM r CROSS JOIN n
WHERE NOT pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE')
UNION ALL
SELECT pg_catalog.format('GRANT SELECT ON leat.%I TO %s', c.relname, r.name)
FROM r CROSS JOIN n JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relkind = 'r'
WHERE (c.relname = 'authority' OR $2::pg_catalog.bool AND c.relname IN ('copy', 'progress'))
    AND NOT pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT')
UNION ALL
SELECT pg_catalog.format('GRANT EXECUTE ON FUNCTION leat.%I(%s) TO %s', p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid), r.name)
FROM r CROSS JOIN n JOIN pg_catalog.pg_proc p ON p.pronamespace = n.oid AND p.prosecdef
WHERE p.proname IN ('server', 'abort_attempt', 'open_side', 'annul_attempt', 'take_over', 'leave')
    AND NOT pg_catalog.has_function_privilege(r.oid, p.oid, 'EXECUTE')
