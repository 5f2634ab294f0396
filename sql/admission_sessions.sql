-- $1 the doors' role, or NULL: sessions of clients in this database that are not leat's own. What a role without pg_read_all_stats may not see of
-- others counts as a client's.
SELECT a.pid, a.usename, coalesce(a.application_name, ''), coalesce(a.client_addr::pg_catalog.text, 'local'), coalesce(r.rolsuper, false),
    coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - a.backend_start), 1000000)::pg_catalog.float8
FROM pg_catalog.pg_stat_activity a
LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() AND a.usename IS NOT NULL
    AND a.usename <> session_user AND a.usename IS DISTINCT FROM $1::pg_catalog.name
    AND coalesce(a.backend_type, 'client backend') = 'client backend'
ORDER BY a.usename, a.pid
