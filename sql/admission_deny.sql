-- $1 the doors' role, or NULL: the statements that keep everybody else out, in their order. Ours first: it may have come in as PUBLIC, or as its owner's member.
WITH d AS (
    SELECT x.datname, x.datdba, coalesce(x.datacl, pg_catalog.acldefault('d', x.datdba)) AS acl FROM pg_catalog.pg_database x
    WHERE x.datname = pg_catalog.current_database()),
spared AS (SELECT r.oid, r.rolname FROM pg_catalog.pg_roles r WHERE r.rolname = session_user OR r.rolname = $1::pg_catalog.text),
held AS (SELECT DISTINCT e.grantor, e.grantee FROM d, pg_catalog.aclexplode(d.acl) e WHERE e.privilege_type = 'CONNECT')
SELECT s.text
FROM (
    SELECT 1 AS n, pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I', d.datname, s.rolname) AS text
    FROM d, spared s
    WHERE NOT EXISTS (SELECT FROM held h WHERE h.grantor = d.datdba AND h.grantee = s.oid)
    UNION ALL
    SELECT 2, pg_catalog.format('REVOKE CONNECT ON DATABASE %I FROM %s CASCADE', d.datname,
        pg_catalog.string_agg(CASE WHEN h.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(h.grantee)) END, ', '))
    FROM d JOIN held h ON h.grantor = d.datdba
    WHERE h.grantee NOT IN (SELECT s.oid FROM spared s)
    GROUP BY d.datname) s
ORDER BY s.n
