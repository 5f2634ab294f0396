-- What changes when anything of rights.sql does, in a few numbers; within the pause. {roles}: pg_authid, where it can be read, else pg_roles.
SELECT pg_catalog.concat_ws(' ',
    (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(pg_catalog.hashtext(r::text)::int8)) FROM {roles} r),
    (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(m.xmin::text::int8)) FROM pg_catalog.pg_auth_members m),
    (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(s.xmin::text::int8)) FROM pg_catalog.pg_db_role_setting s),
    (SELECT pg_catalog.concat_ws(',', d.datdba, pg_catalog.hashtext(d.datacl::text)) FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()),
    (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(n.nspowner::int8), pg_catalog.sum(pg_catalog.hashtext(n.nspacl::text)::int8))
        FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_'),
    (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(a.xmin::text::int8)) FROM pg_catalog.pg_default_acl a),
    (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(c.relowner::int8), pg_catalog.sum(pg_catalog.hashtext(c.relacl::text)::int8))
        FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relpersistence <> 't' AND c.oid >= 16384),
    (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(p.proowner::int8), pg_catalog.sum(pg_catalog.hashtext(p.proacl::text)::int8))
        FROM pg_catalog.pg_proc p WHERE p.oid >= 16384),
    (SELECT pg_catalog.concat_ws(',', pg_catalog.count(*), pg_catalog.sum(pg_catalog.hashtext(a.attacl::text)::int8))
        FROM pg_catalog.pg_attribute a WHERE a.attrelid >= 16384 AND a.attacl IS NOT NULL))
