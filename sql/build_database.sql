-- The source database's own: owner, comment, and whether its grants were ever changed.
SELECT pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.shobj_description(d.oid, 'pg_database'), d.datacl IS NOT NULL
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
