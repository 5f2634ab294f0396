-- $1 pid: those who wait for a lock that this session holds.
SELECT w.pid FROM pg_catalog.pg_locks w
WHERE NOT w.granted AND w.locktype = 'relation' AND $1::int4 = ANY (pg_catalog.pg_blocking_pids(w.pid))
