-- Which server this is, and on which timeline. Trap: after a promotion the control file names the old one until the checkpoint that follows.
SELECT s.system_identifier, CASE WHEN pg_catalog.pg_is_in_recovery() THEN (SELECT c.timeline_id::pg_catalog.int8 FROM pg_catalog.pg_control_checkpoint() c)
    ELSE ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::pg_catalog.bit(32)::pg_catalog.int8 END
FROM pg_catalog.pg_control_system() s
