-- Of this side's database, before anybody is kept out of it: its name, its privileges, who owns it; whether our role may act as that owner by
-- itself, or by SET ROLE; whether a store of this database still serves here; whether it is denied already.
SELECT d.datname, coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))::pg_catalog.text, pg_catalog.pg_get_userbyid(d.datdba),
    pg_catalog.pg_has_role(d.datdba, 'USAGE'), pg_catalog.pg_has_role(d.datdba, 'MEMBER'),
    EXISTS (SELECT FROM leat.authority a WHERE a.open), EXISTS (SELECT FROM leat.denied)
FROM pg_catalog.pg_database d
WHERE d.datname = pg_catalog.current_database()
