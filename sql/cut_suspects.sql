-- Sessions that wait for a standby: their commit is in the log, and no snapshot sees it yet. Second column: sessions of others cannot
-- be seen into, and standbys are waited for. At least one row if that is so.
SELECT a.backend_xid::text, h.hidden
FROM (SELECT pg_catalog.current_setting('synchronous_standby_names') <> '' AND EXISTS (
        SELECT FROM pg_catalog.pg_stat_activity x WHERE x.query = '<insufficient privilege>') AS hidden) h
LEFT JOIN pg_catalog.pg_stat_activity a ON a.wait_event = 'SyncRep'
