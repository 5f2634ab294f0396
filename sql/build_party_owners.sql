-- Roles to which leat's role may give objects and still work on them: it must inherit from them, and be able to become them.
-- {set}: the right to SET ROLE is one of its own from PostgreSQL 16 on.
SELECT r.rolname FROM pg_catalog.pg_roles r
WHERE pg_catalog.pg_has_role(r.oid, 'USAGE') AND pg_catalog.pg_has_role(r.oid, '{set}')
