-- The roles that matter to this database: who owns or is granted anything in it or has settings for it, the bootstrap superuser, every login
-- role where verifiers can be read ({logins}); then their members, and what they are members of. Predefined roles are no roles of ours.
-- {authid}: pg_authid, or pg_roles with no verifier.
WITH RECURSIVE here AS (
    SELECT oid, datdba FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
), base (oid) AS (
    SELECT d.refobjid FROM pg_catalog.pg_shdepend d, here
    WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.deptype <> 'p'
        AND (d.dbid = here.oid OR d.dbid = 0 AND d.classid = 'pg_catalog.pg_database'::pg_catalog.regclass AND d.objid = here.oid)
    UNION SELECT datdba FROM here
    UNION SELECT s.setrole FROM pg_catalog.pg_db_role_setting s, here WHERE s.setdatabase = here.oid AND s.setrole <> 0
    UNION SELECT 10
    UNION SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolcanlogin AND {logins}
), below (oid) AS (
    SELECT b.oid FROM base b JOIN pg_catalog.pg_roles r ON r.oid = b.oid WHERE r.rolname !~ '^pg_'
    UNION SELECT m.member FROM below b JOIN pg_catalog.pg_auth_members m ON m.roleid = b.oid
), chosen (oid) AS (
    SELECT oid FROM below
    UNION SELECT m.roleid FROM chosen c JOIN pg_catalog.pg_auth_members m ON m.member = c.oid
)
SELECT r.oid, r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication, r.rolbypassrls,
    r.rolconnlimit, r.rolvaliduntil, r.rolpassword, pg_catalog.shobj_description(r.oid, 'pg_authid'),
    EXISTS (SELECT FROM pg_catalog.pg_shdepend d, here WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
        AND d.refobjid = r.oid AND d.deptype = 'o' AND d.dbid = here.oid)
FROM {authid} r JOIN chosen c ON c.oid = r.oid WHERE r.rolname !~ '^pg_'
ORDER BY r.rolname
