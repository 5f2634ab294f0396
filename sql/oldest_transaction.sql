-- The oldest open transaction of another session: what a slot or a snapshot waits for.
SELECT a.pid, coalesce(nullif(a.application_name, ''), a.usename, '?'), coalesce(a.datname, '?'),
    pg_catalog.justify_interval(pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() - a.xact_start))
FROM pg_catalog.pg_stat_activity a
WHERE a.xact_start IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_xid IS NOT NULL
    AND a.application_name NOT LIKE 'leat: %'
ORDER BY a.xact_start
LIMIT 1
