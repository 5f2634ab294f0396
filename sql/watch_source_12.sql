-- $1 slot; before 13, where a slot has no status. The source's position, what the slot retains, its state, the worst standby's lag, the oldest transaction, its clock, whether the slot is in use.
SELECT here.at, pg_catalog.pg_wal_lsn_diff(here.at, s.restart_lsn)::pg_catalog.int8, CASE WHEN s.slot_name IS NULL THEN NULL WHEN s.restart_lsn IS NULL THEN 'lost' ELSE 'reserved' END,
    (SELECT (extract(epoch FROM pg_catalog.max(r.replay_lag)) * 1000000)::pg_catalog.int8 FROM pg_catalog.pg_stat_replication r WHERE r.application_name NOT LIKE 'leat: %'),
    (SELECT (extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.min(a.xact_start)) * 1000000)::pg_catalog.int8 FROM pg_catalog.pg_stat_activity a
        WHERE a.backend_xid IS NOT NULL),
    (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::pg_catalog.int8, COALESCE(s.active, false)
FROM (SELECT pg_catalog.pg_current_wal_lsn() AS at) here LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = $1
