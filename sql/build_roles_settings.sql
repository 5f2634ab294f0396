-- Settings of the roles in $1, everywhere and in this database.
SELECT r.rolname, s.setdatabase <> 0, pg_catalog.unnest(s.setconfig)
FROM pg_catalog.pg_db_role_setting s
JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
WHERE s.setrole = ANY ($1::pg_catalog.oid[]) AND (s.setdatabase = 0 OR d.datname = pg_catalog.current_database())
