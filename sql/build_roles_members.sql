-- Memberships of the roles in $1. {options}: inherit and set belong to the membership from PostgreSQL 16 on.
SELECT g.rolname, m.rolname, pg_catalog.bool_or(a.admin_option), {options}
FROM pg_catalog.pg_auth_members a
JOIN pg_catalog.pg_roles g ON g.oid = a.roleid
JOIN pg_catalog.pg_roles m ON m.oid = a.member
WHERE a.member = ANY ($1::pg_catalog.oid[])
GROUP BY g.rolname, m.rolname ORDER BY g.rolname, m.rolname
