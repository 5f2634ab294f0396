-- Every role, and whether ours has what it has: only an owner puts a table into a publication, or changes its identity.
SELECT r.rolname, pg_has_role(r.oid, 'USAGE'), r.rolsuper,
    format('GRANT %I TO %I', r.rolname, current_user)
    || CASE WHEN pg_has_role(r.oid, 'MEMBER') THEN format(' -- is given already; it has to be inherited: ALTER ROLE %I INHERIT', current_user) ELSE '' END
FROM pg_catalog.pg_roles r
