-- Sessions that are making a relation nobody sees yet.
SELECT l.pid, s.usename FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity s ON s.pid = l.pid
WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted AND l.pid <> pg_catalog.pg_backend_pid()
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = l.relation)
LIMIT 1
