-- $1 interval. Tables on which somebody has waited longer than that for a lock that a session of ours (copy, holder) holds.
SELECT DISTINCT h.relation
FROM pg_catalog.pg_locks w
JOIN pg_catalog.pg_stat_activity wa ON wa.pid = w.pid
JOIN pg_catalog.pg_locks h ON h.locktype = 'relation' AND h.granted AND h.relation = w.relation AND h.database = w.database
JOIN pg_catalog.pg_stat_activity ha ON ha.pid = h.pid AND ha.application_name IN ('leat: copy', 'leat: holder')
WHERE w.locktype = 'relation' AND NOT w.granted AND wa.application_name NOT LIKE 'leat: %'
    AND pg_catalog.clock_timestamp() - wa.query_start > $1::pg_catalog.interval
    AND w.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
