-- Names of custom settings that functions set: set_config('a.b', …) and SET a.b, anywhere in their bodies. The door asks every session for these,
-- beside those it saw in the session's own texts: pg_settings has none of them. ~: a blank, or a comment.
SELECT DISTINCT lower(m.names[1])
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
CROSS JOIN LATERAL (SELECT CASE WHEN pg_catalog.to_jsonb(p) ->> 'prosqlbody' IS NULL THEN p.prosrc ELSE pg_catalog.pg_get_functiondef(p.oid) END) b(body)
CROSS JOIN LATERAL pg_catalog.regexp_matches(b.body, pg_catalog.replace(
    'set_config"?~*\(~*''([a-z_][a-z0-9_$]*(?:\.[a-z0-9_$]+)+)''|\mset(?:~+(?:session|local))?~+"?([a-z_][a-z0-9_$]*"?(?:\."?[a-z0-9_$]+)+)"?~*(?:=|\mto\M)',
    '~', '(?:\s|/\*(?:[^*]|\*+[^*/])*\*+/|--[^\n]*\n)'), 'gi') r(found)
CROSS JOIN LATERAL (SELECT ARRAY[pg_catalog.replace(coalesce(r.found[1], r.found[2]), '"', '')]) m(names)
WHERE l.lanname NOT IN ('c', 'internal') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'leat')
ORDER BY 1
