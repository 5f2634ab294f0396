-- $1 the doors' role, $2 whether they read verifiers here: what it lacks that is not leat's to give, and the statement that gives it. Trap: what is granted on
-- pg_authid is granted in that database alone.
WITH r AS (SELECT x.* FROM pg_catalog.pg_roles x WHERE x.rolname = $1::pg_catalog.name)
SELECT pg_catalog.format('the doors'' role %I does not exist', $1::pg_catalog.text), pg_catalog.format('CREATE ROLE %I LOGIN PASSWORD ''...''', $1::pg_catalog.text)
WHERE NOT EXISTS (SELECT FROM r)
UNION ALL
SELECT pg_catalog.format('the doors'' role %I may not log in', r.rolname), pg_catalog.format('ALTER ROLE %I LOGIN', r.rolname)
FROM r WHERE NOT r.rolcanlogin
UNION ALL
SELECT pg_catalog.format('the password of the doors'' role %I ran out at %s', r.rolname, r.rolvaliduntil), pg_catalog.format('ALTER ROLE %I VALID UNTIL ''infinity''', r.rolname)
FROM r WHERE r.rolvaliduntil <= pg_catalog.now()
UNION ALL
SELECT pg_catalog.format('the doors'' role %I may not connect to database %I', r.rolname, pg_catalog.current_database()),
    pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I', pg_catalog.current_database(), r.rolname)
FROM r WHERE NOT pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'CONNECT')
UNION ALL
SELECT pg_catalog.format('the doors'' role %I may not read what clients are known by (pg_authid), and there is no door_users', r.rolname),
    pg_catalog.format('GRANT SELECT ON pg_catalog.pg_authid TO %I -- in database %I', r.rolname, pg_catalog.current_database())
FROM r
WHERE $2::pg_catalog.bool AND EXISTS (SELECT FROM pg_catalog.unnest(ARRAY['rolname', 'rolpassword', 'rolcanlogin', 'rolvaliduntil']) c(name)
    WHERE NOT pg_catalog.has_column_privilege(r.oid, 'pg_catalog.pg_authid'::pg_catalog.regclass::pg_catalog.oid, c.name, 'SELECT'))
