-- Transactions open for more than a minute: a slot is made, and a table's snapshot taken, only after they have ended (trap P15).
SELECT NULL, 'pid ' || a.pid,
    format('a transaction of %s in database %s has been open for %s (%s, query begun %s): %s', coalesce(nullif(a.application_name, ''), a.usename, '?'),
        coalesce(a.datname, '?'), justify_interval(date_trunc('second', clock_timestamp() - a.xact_start)), coalesce(a.state, '?'),
        coalesce(to_char(a.query_start, 'YYYY-MM-DD HH24:MI:SSOF'), '?'),
        CASE WHEN a.backend_xid IS NULL THEN 'it has written nothing yet; once it has, the slot waits for it' ELSE 'the slot is made only after it has ended' END),
    format('SELECT pg_terminate_backend(%s)', a.pid)
FROM pg_catalog.pg_stat_activity a
WHERE a.xact_start < clock_timestamp() - interval '1 minute' AND a.pid <> pg_backend_pid() AND a.datid IS NOT NULL
    AND coalesce(a.application_name, '') NOT LIKE 'leat: %' AND coalesce(a.query, '') NOT LIKE 'autovacuum:%'
ORDER BY a.xact_start
