-- A session about itself, at a transaction boundary: everything a session that takes its place must have, and what cannot be given to one.
-- $1: names of custom settings (pg_settings has none of them; what it has by such a name is an extension's own, and not everybody's to set);
-- $2: whether to look for advisory locks (reads all locks of the server). Both are put in as literals (shift/inspect.c): with parameters it would be
-- planned anew each of the first five times.
-- Named throughout by schema, operators too: the session's search_path is the client's. No CASE x WHEN, no IN: they look operators up.
-- The answer is JSON in UTF-8 as bytea, to be fetched in binary: text would be converted to the client's encoding, or fail to be.
WITH own AS (SELECT s.name, s.source, s.context FROM pg_catalog.pg_settings s)
SELECT pg_catalog.convert_to(pg_catalog.json_build_object(
    'session_user', session_user,
    'role', pg_catalog.current_setting('role'),
    'encoding', pg_catalog.current_setting('client_encoding'),
    'temp', (SELECT pg_catalog.json_agg(pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid))
        FROM (SELECT classid, objid, objsubid FROM pg_catalog.pg_depend
            WHERE pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0::pg_catalog.oid
                AND refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass::pg_catalog.oid
                AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()
            LIMIT 10) d),
    'cursors', (SELECT pg_catalog.json_agg(c.name ORDER BY c.name COLLATE pg_catalog."C") FROM pg_catalog.pg_cursors c WHERE c.is_holdable),
    'locks', (SELECT pg_catalog.json_agg(pg_catalog.format('%s/%s', l.classid, l.objid))
        FROM (SELECT classid, objid FROM pg_catalog.pg_locks
            WHERE $2::pg_catalog.bool AND locktype OPERATOR(pg_catalog.=) 'advisory'::pg_catalog.text
                AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()
            LIMIT 10) l),
    'channels', (SELECT pg_catalog.json_agg(l.channel ORDER BY l.channel COLLATE pg_catalog."C") FROM pg_catalog.pg_listening_channels() l(channel)),
    'settings', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(s.name, pg_catalog.current_setting(s.name, true)) ORDER BY s.name COLLATE pg_catalog."C")
        FROM own s
        WHERE s.source OPERATOR(pg_catalog.=) 'session'::pg_catalog.text AND s.context OPERATOR(pg_catalog.<>) 'internal'::pg_catalog.text
            AND s.name OPERATOR(pg_catalog.<>) ALL (ARRAY['transaction_isolation', 'transaction_read_only', 'transaction_deferrable'])),
    'customs', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(n.name, pg_catalog.current_setting(n.name, true)) ORDER BY n.name COLLATE pg_catalog."C")
        FROM pg_catalog.unnest($1::pg_catalog.text[]) n(name)
        WHERE pg_catalog.strpos(n.name, '.') OPERATOR(pg_catalog.>) 0 AND pg_catalog.current_setting(n.name, true) IS NOT NULL
            AND NOT EXISTS (SELECT FROM own s WHERE pg_catalog.lower(s.name) OPERATOR(pg_catalog.=) n.name)),
    'effective', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(n.name, pg_catalog.current_setting(n.name, true)) ORDER BY n.name COLLATE pg_catalog."C")
        FROM pg_catalog.unnest(ARRAY['DateStyle', 'IntervalStyle', 'TimeZone', 'array_nulls', 'bytea_output', 'default_text_search_config', 'default_transaction_isolation',
            'default_transaction_read_only', 'extra_float_digits', 'lc_monetary', 'lc_numeric', 'lc_time', 'lock_timeout', 'row_security', 'search_path', 'statement_timeout',
            'transform_null_equals', 'xmlbinary', 'xmloption']::pg_catalog.text[]) n(name)
        WHERE pg_catalog.current_setting(n.name, true) IS NOT NULL),
    'statements', (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(p.name, p.statement, p.from_sql,
            (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(t.oid::pg_catalog.text, CASE
                    WHEN e.oid IS NULL THEN pg_catalog.format('%I.%I', n.nspname, t.typname)
                    ELSE pg_catalog.format('%I.%I[]', en.nspname, e.typname) END) ORDER BY a.place)
                FROM pg_catalog.unnest(p.parameter_types::pg_catalog.oid[]) WITH ORDINALITY a(oid, place)
                JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) a.oid
                JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace
                LEFT JOIN pg_catalog.pg_type e ON e.oid OPERATOR(pg_catalog.=) t.typelem AND e.typarray OPERATOR(pg_catalog.=) t.oid
                LEFT JOIN pg_catalog.pg_namespace en ON en.oid OPERATOR(pg_catalog.=) e.typnamespace)) ORDER BY p.name COLLATE pg_catalog."C")
        FROM pg_catalog.pg_prepared_statements p
        WHERE p.name OPERATOR(pg_catalog.<>) 'leat.door.inspect'::pg_catalog.text)
    )::pg_catalog.text, 'UTF8')
