-- Who is making a relation nobody sees yet. Trap: one that was prepared (PREPARE TRANSACTION) has no session any more, and a pid of NULL.
SELECT CASE WHEN l.pid IS NULL THEN 'a prepared transaction' ELSE pg_catalog.format('pid %s (%s)', l.pid, s.usename) END FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity s ON s.pid = l.pid
WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = l.relation)
LIMIT 1
