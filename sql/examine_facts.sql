-- What doctor asks of either server, as name and value: settings, then what it knows of the database and of our role.
-- Settings a role may not read are absent.
SELECT s.name, s.setting
FROM pg_catalog.pg_settings s
WHERE s.name IN ('wal_level', 'max_replication_slots', 'max_wal_senders', 'max_slot_wal_keep_size', 'idle_replication_slot_timeout',
    'wal_sender_timeout', 'synchronous_standby_names', 'max_connections', 'superuser_reserved_connections', 'reserved_connections',
    'max_prepared_transactions', 'max_locks_per_transaction', 'server_version', 'rds.logical_replication')
UNION ALL
SELECT v.name, v.value
FROM pg_catalog.pg_database d, pg_catalog.pg_roles r, LATERAL (VALUES
    ('role', r.rolname::text),
    ('superuser', r.rolsuper::text),
    ('replication', r.rolreplication::text),
    ('bypassrls', r.rolbypassrls::text),
    ('createrole', r.rolcreaterole::text),
    ('role_connections', r.rolconnlimit::text),
    ('sees_sessions', pg_has_role('pg_read_all_stats', 'USAGE')::text),
    ('reads_verifiers', has_table_privilege('pg_catalog.pg_authid', 'SELECT')::text),
    ('replication_member', (SELECT count(*) > 0 FROM pg_catalog.pg_roles x
        WHERE x.rolname = 'rds_replication' AND pg_has_role(x.oid, 'USAGE'))::text),
    ('managed_role', (SELECT min(x.rolname::text) FROM pg_catalog.pg_roles x
        WHERE x.rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'alloydbsuperuser', 'azure_pg_admin', 'neon_superuser', 'doadmin'))),
    ('create', has_database_privilege(d.oid, 'CREATE')::text),
    ('owns_database', pg_has_role(d.datdba, 'USAGE')::text),
    ('database_connections', d.datconnlimit::text),
    ('database_size', pg_database_size(d.oid)::text),
    ('encoding', pg_encoding_to_char(d.encoding)::text),
    ('collate', d.datcollate::text),
    ('ctype', d.datctype::text),
    ('in_recovery', pg_is_in_recovery()::text),
    ('started', pg_postmaster_start_time()::text),
    ('port', coalesce(inet_server_port()::text, '')),
    ('slots', (SELECT count(*) FROM pg_catalog.pg_replication_slots)::text),
    ('senders', (SELECT count(*) FROM pg_catalog.pg_stat_replication)::text),
    ('sessions', (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datid IS NOT NULL)::text)
) v (name, value)
WHERE d.datname = current_database() AND r.rolname = current_user
