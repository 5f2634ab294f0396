-- Who holds a lock that the switch's own would wait for, on a table with the fence of that name ($1); DML holds none such.
SELECT l.pid, coalesce(s.usename, s.backend_type), l.relation::pg_catalog.regclass, l.mode, pg_catalog.left(s.query, 120)
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity s ON s.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.relation IN (SELECT t.tgrelid FROM pg_catalog.pg_trigger t WHERE t.tgname = $1)
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
    AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
ORDER BY l.pid LIMIT 1
