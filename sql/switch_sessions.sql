-- Sessions of others in this database: who bypasses a door is ended after a switch. $1: client addresses and ports of the doors' own
-- connections are not known here; what counts is the application_name a door's connections begin with.
SELECT a.pid, a.usename, coalesce(a.application_name, ''), coalesce(a.client_addr::text, 'local'), coalesce(a.state, ''),
    coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start), 0)::float8, a.usename = session_user
FROM pg_catalog.pg_stat_activity a
WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() AND a.usename IS NOT NULL
    AND a.application_name NOT LIKE 'leat: %'
ORDER BY a.xact_start
