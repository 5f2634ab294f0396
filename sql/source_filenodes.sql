-- $1 oids of tables. The file each one's rows are in now.
SELECT c.oid, c.relfilenode FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::pg_catalog.oid[]) ORDER BY c.oid
