-- Whether a type came, went or was renamed since: not what it is, only that.
SELECT t.oid, t.typname, t.typnamespace FROM pg_catalog.pg_type t WHERE t.oid >= 16384 AND t.typtype <> 'p' ORDER BY 1
