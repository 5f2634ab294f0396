-- Who does, in a transaction that goes on, what no lock of ours waits for: makes a relation nobody sees yet, or has written a large object. Traps:
-- what was prepared (PREPARE TRANSACTION) has no session any more, and a pid of NULL; whoever only reads large objects has the same lock, but no xid.
SELECT CASE WHEN l.pid IS NULL THEN 'a prepared transaction' ELSE pg_catalog.format('pid %s (%s)', l.pid, s.usename) END,
    CASE WHEN l.mode = 'AccessExclusiveLock' THEN 'is making a table that is not there yet' ELSE 'has written a large object, which no stream carries' END
FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity s ON s.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
    AND (l.mode = 'AccessExclusiveLock' AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = l.relation)
        OR l.mode = 'RowExclusiveLock' AND l.relation = 'pg_catalog.pg_largeobject'::pg_catalog.regclass
            AND EXISTS (SELECT FROM pg_catalog.pg_locks x
                WHERE x.locktype = 'transactionid' AND x.mode = 'ExclusiveLock' AND x.granted AND x.virtualtransaction = l.virtualtransaction))
LIMIT 1
