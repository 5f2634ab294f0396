-- Slots of others that nobody reads: they keep WAL on the source's disk, beside what leat's slot keeps.
SELECT NULL, s.slot_name,
    format('slot %I is read by nobody and keeps %s of WAL', s.slot_name, pg_size_pretty(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, s.restart_lsn))),
    format('SELECT pg_drop_replication_slot(%L) -- if nothing needs it any more', s.slot_name)
FROM pg_catalog.pg_replication_slots s
WHERE NOT s.active AND s.slot_name NOT LIKE 'leat\_%' AND pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, s.restart_lsn) > 256 * 1024 * 1024
ORDER BY s.restart_lsn
