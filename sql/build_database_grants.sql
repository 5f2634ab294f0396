-- Grants on the source database, but its owner's. Grantee NULL is PUBLIC.
SELECT r.rolname, a.privilege_type, a.is_grantable
FROM pg_catalog.pg_database d, LATERAL pg_catalog.aclexplode(d.datacl) a
LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
WHERE d.datname = pg_catalog.current_database() AND a.grantee <> d.datdba AND (a.grantee = 0 OR r.oid IS NOT NULL)
