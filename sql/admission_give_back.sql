-- The statements that give back what leat.denied says was there, in their order, and as whom (NULL: the owner). A grant of another than the
-- owner is the owner's where we cannot act as that other. What somebody gave meanwhile stays.
WITH d AS (
    SELECT x.datname, x.datdba, coalesce(x.datacl, pg_catalog.acldefault('d', x.datdba)) AS acl FROM pg_catalog.pg_database x
    WHERE x.datname = pg_catalog.current_database()),
held AS (SELECT e.grantor, e.grantee, e.is_grantable FROM d, pg_catalog.aclexplode(d.acl) e WHERE e.privilege_type = 'CONNECT'),
wanted AS (
    SELECT k.n, k.given, k.by_owner, k.grantable, CASE WHEN k.by_owner THEN d.datdba ELSE k.grantor END AS grantor, k.grantee,
        CASE WHEN k.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(k.grantee)) END AS who
    FROM d, leat.denied k
    WHERE k.grantee = 0 OR EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.oid = k.grantee))
SELECT CASE WHEN NOT w.by_owner THEN (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE r.oid = w.grantor AND pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER')) END,
    CASE WHEN w.given THEN pg_catalog.format('REVOKE CONNECT ON DATABASE %I FROM %s', d.datname, w.who)
    ELSE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %s%s', d.datname, w.who, CASE WHEN w.grantable THEN ' WITH GRANT OPTION' ELSE '' END) END
FROM d, wanted w
WHERE w.given = EXISTS (SELECT FROM held h WHERE h.grantor = w.grantor AND h.grantee = w.grantee AND (w.given OR h.is_grantable OR NOT w.grantable))
ORDER BY w.given, w.by_owner DESC, w.n
