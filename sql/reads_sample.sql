-- What has been written so far, whether anybody waited for its disk or not: whatever a session has seen here is below it. And whether commits
-- wait for standbys: those are on the target before anybody sees them here.
SELECT pg_catalog.pg_current_wal_insert_lsn(), pg_catalog.current_setting('synchronous_standby_names') <> ''
