-- $1 slot, $2 application_name: ends the walsender that an engine which is no more left behind, and nobody else's.
SELECT pg_catalog.pg_terminate_backend(s.active_pid)
FROM pg_catalog.pg_replication_slots s JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid
WHERE s.slot_name = $1 AND s.active AND a.application_name = $2
