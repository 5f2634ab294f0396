-- $1 pid, $2 the doors' role, or NULL: ended, if it is still somebody's session in this database who is not leat. The number may be another's by now.
SELECT pg_catalog.pg_terminate_backend(a.pid)
FROM pg_catalog.pg_stat_activity a
WHERE a.pid = $1::pg_catalog.int4 AND a.datname = pg_catalog.current_database() AND a.usename <> session_user
    AND a.usename IS DISTINCT FROM $2::pg_catalog.name
