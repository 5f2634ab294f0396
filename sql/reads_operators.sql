-- Operators that call what is volatile, by name; and NULL if a cast of a user does, which shows in no statement.
SELECT DISTINCT o.oprname::pg_catalog.text FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode WHERE p.provolatile = 'v'
UNION ALL
SELECT NULL::pg_catalog.text WHERE EXISTS (SELECT FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc WHERE c.oid >= 16384 AND p.provolatile = 'v')
ORDER BY 1
