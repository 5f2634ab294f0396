-- Every function by name, for reads on the target: schema, name, the worst volatility of all that are called so (of an aggregate: of what
-- it is made of), and whether one can be called as a column of a row. Casts of users that call what is volatile have no name in a statement:
-- they stand as a function without one.
WITH made AS (
    SELECT a.aggfnoid::pg_catalog.oid AS oid, pg_catalog.bool_or(s.provolatile = 'v') AS acts
    FROM pg_catalog.pg_aggregate a
    JOIN pg_catalog.pg_proc s ON s.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
    WHERE a.aggfnoid::pg_catalog.oid >= 16384
    GROUP BY 1)
SELECT n.nspname, p.proname,
    CASE WHEN pg_catalog.bool_or(p.provolatile = 'v' OR COALESCE(m.acts, false)) THEN 'v' WHEN pg_catalog.bool_or(p.provolatile = 's') THEN 's' ELSE 'i' END,
    pg_catalog.bool_or(p.pronargs >= 1 AND t.typtype IN ('c', 'p'))
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
LEFT JOIN pg_catalog.pg_type t ON t.oid = p.proargtypes[0]
LEFT JOIN made m ON m.oid = p.oid
WHERE n.nspname !~ '^pg_(toast|temp)'
GROUP BY 1, 2
ORDER BY 1, 2
