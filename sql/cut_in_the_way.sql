-- $1 pid: the relations on which somebody waits for a lock that this session holds.
SELECT DISTINCT w.relation FROM pg_catalog.pg_locks w
WHERE NOT w.granted AND w.locktype = 'relation' AND $1::int4 = ANY (pg_catalog.pg_blocking_pids(w.pid))
