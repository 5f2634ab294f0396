-- $1 the doors' role, or NULL: who may connect, as it is before it is taken from them; and, as `given`, what leat gives itself so that it is not
-- kept out with them. By numbers: roles may be renamed meanwhile.
INSERT INTO leat.denied (n, grantor, grantee, by_owner, grantable, given)
WITH d AS (
    SELECT x.datdba, coalesce(x.datacl, pg_catalog.acldefault('d', x.datdba)) AS acl FROM pg_catalog.pg_database x
    WHERE x.datname = pg_catalog.current_database()),
spared AS (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = session_user OR r.rolname = $1::pg_catalog.text),
held AS (
    SELECT e.grantor, e.grantee, e.is_grantable, e.n
    FROM d, pg_catalog.aclexplode(d.acl) WITH ORDINALITY AS e(grantor, grantee, privilege_type, is_grantable, n)
    WHERE e.privilege_type = 'CONNECT')
SELECT h.n, h.grantor, h.grantee, h.grantor = d.datdba, h.is_grantable, false
FROM d, held h
WHERE NOT (h.grantor = d.datdba AND h.grantee IN (SELECT s.oid FROM spared s))
UNION ALL
SELECT 0, d.datdba, s.oid, true, false, true
FROM d, spared s
WHERE NOT EXISTS (SELECT FROM held h WHERE h.grantor = d.datdba AND h.grantee = s.oid)
ON CONFLICT DO NOTHING
