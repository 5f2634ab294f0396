-- Who may do what in this database, and as what: kind, object, role, what; `exists` says that the object is there, `has` that the role is. Superusers,
-- predefined roles and leat's own are left out: what they may is not written down.
WITH RECURSIVE here AS (
    SELECT d.oid, d.datdba, d.datacl FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()),
base (oid) AS (
    SELECT d.refobjid FROM pg_catalog.pg_shdepend d, here
    WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.deptype <> 'p'
        AND (d.dbid = here.oid OR d.dbid = 0 AND d.classid = 'pg_catalog.pg_database'::pg_catalog.regclass AND d.objid = here.oid)
    UNION SELECT s.setrole FROM pg_catalog.pg_db_role_setting s, here WHERE s.setdatabase = here.oid AND s.setrole <> 0),
scope (oid) AS (
    SELECT b.oid FROM base b JOIN pg_catalog.pg_roles r ON r.oid = b.oid WHERE r.rolname !~ '^pg_'
    UNION SELECT m.member FROM scope s JOIN pg_catalog.pg_auth_members m ON m.roleid = s.oid),
who AS (
    SELECT r.* FROM pg_catalog.pg_roles r WHERE NOT r.rolsuper AND r.rolname <> session_user AND r.rolname !~ '^pg_'),
spaces AS (
    SELECT n.oid, n.nspname, n.nspowner, n.nspacl FROM pg_catalog.pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'leat')),
things (kind, object, acl) AS (
    SELECT 'database', '', coalesce(h.datacl, pg_catalog.acldefault('d', h.datdba)) FROM here h
    UNION ALL
    SELECT 'schema', pg_catalog.quote_ident(n.nspname), coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner)) FROM spaces n
    UNION ALL
    SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
        coalesce(c.relacl, pg_catalog.acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))
    FROM pg_catalog.pg_class c JOIN spaces n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relpersistence <> 't' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'column', pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) || '.' || pg_catalog.quote_ident(a.attname), a.attacl
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN spaces n ON n.oid = c.relnamespace
    WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
    UNION ALL
    SELECT 'function', pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(p.proname) || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')',
        coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
    FROM pg_catalog.pg_proc p JOIN spaces n ON n.oid = p.pronamespace
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype IN ('e', 'i'))
    UNION ALL
    SELECT 'default privileges', CASE a.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' ELSE 'schemas' END
        || ' of ' || pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.defaclrole)) || coalesce(' in ' || pg_catalog.quote_ident(n.nspname), ''), a.defaclacl
    FROM pg_catalog.pg_default_acl a LEFT JOIN spaces n ON n.oid = a.defaclnamespace
    WHERE a.defaclnamespace = 0 OR n.oid IS NOT NULL),
found (kind, object, role, what) AS (
    SELECT t.kind, t.object, coalesce(w.rolname, 'PUBLIC'), e.privilege_type || CASE WHEN e.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
    FROM things t CROSS JOIN LATERAL pg_catalog.aclexplode(t.acl) e LEFT JOIN who w ON w.oid = e.grantee
    WHERE (e.grantee = 0 OR w.oid IS NOT NULL) AND e.privilege_type <> 'MAINTAIN'
    UNION ALL
    SELECT 'exists', t.kind || ' ' || t.object, '', '' FROM things t WHERE t.kind <> 'default privileges'
    UNION ALL
    SELECT 'has', '', r.rolname, '' FROM pg_catalog.pg_roles r
    UNION ALL
    SELECT 'role', '', w.rolname, pg_catalog.concat_ws(' ', CASE WHEN w.rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END, CASE WHEN w.rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END,
        CASE WHEN w.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN w.rolcreatedb THEN 'CREATEDB' END, CASE WHEN w.rolreplication THEN 'REPLICATION' END,
        CASE WHEN w.rolbypassrls THEN 'BYPASSRLS' END, 'CONNECTION LIMIT ' || w.rolconnlimit, 'VALID UNTIL ''' || w.rolvaliduntil || '''')
    FROM who w JOIN scope s ON s.oid = w.oid
    UNION ALL
    SELECT 'member', pg_catalog.quote_ident(g.rolname), w.rolname, CASE WHEN pg_catalog.bool_or(m.admin_option) THEN 'MEMBER WITH ADMIN OPTION' ELSE 'MEMBER' END
    FROM pg_catalog.pg_auth_members m JOIN who w ON w.oid = m.member JOIN pg_catalog.pg_roles g ON g.oid = m.roleid
    WHERE w.oid IN (SELECT s.oid FROM scope s)
    GROUP BY g.rolname, w.rolname
    UNION ALL
    SELECT 'setting', CASE WHEN x.setdatabase = 0 THEN 'everywhere' ELSE 'in this database' END, coalesce(w.rolname, ''), x.what
    FROM (SELECT s.setdatabase, s.setrole, pg_catalog.unnest(s.setconfig) AS what FROM pg_catalog.pg_db_role_setting s) x
    CROSS JOIN here h LEFT JOIN who w ON w.oid = x.setrole
    WHERE (x.setdatabase = h.oid AND (x.setrole = 0 OR w.oid IS NOT NULL)) OR (x.setdatabase = 0 AND w.oid IN (SELECT s.oid FROM scope s)))
SELECT f.kind, f.object, f.role, f.what FROM found f
