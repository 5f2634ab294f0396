-- Foreign tables hold no rows here (trap P21).
SELECT n.nspname, c.relname,
    format('foreign table of server %I: its definition moves, its rows stay where they are, and the target has to reach that server with its user mapping', s.srvname),
    ''
FROM pg_catalog.pg_foreign_table t
JOIN pg_catalog.pg_class c ON c.oid = t.ftrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_foreign_server s ON s.oid = t.ftserver
WHERE n.nspname !~ '^pg_'
ORDER BY 1, 2
