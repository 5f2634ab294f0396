-- $1 the doors' role, or NULL: who else may call functions of schema leat here: one that was the doors' before.
SELECT DISTINCT x.name, pg_catalog.format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA leat FROM %1$s; REVOKE ALL ON ALL TABLES IN SCHEMA leat FROM %1$s; REVOKE ALL ON SCHEMA leat FROM %1$s', x.name)
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace AND n.nspname = 'leat'
CROSS JOIN LATERAL pg_catalog.aclexplode(p.proacl) e
JOIN pg_catalog.pg_roles r ON r.oid = e.grantee
CROSS JOIN LATERAL (SELECT pg_catalog.quote_ident(r.rolname)) x(name)
WHERE e.grantee <> p.proowner AND r.rolname <> session_user AND r.rolname IS DISTINCT FROM $1::pg_catalog.name
ORDER BY 1
