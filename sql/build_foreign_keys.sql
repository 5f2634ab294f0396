-- Every foreign key with its two tables, and the tables of rows behind them: a partitioned table's leaves, else itself.
WITH RECURSIVE keys AS (
    SELECT k.oid, k.conname, k.conrelid, k.confrelid FROM pg_catalog.pg_constraint k WHERE k.contype = 'f'
), below (root, relid) AS (
    SELECT conrelid, conrelid FROM keys UNION SELECT confrelid, confrelid FROM keys
    UNION
    SELECT b.root, i.inhrelid FROM below b
    JOIN pg_catalog.pg_class p ON p.oid = b.relid AND p.relkind = 'p'
    JOIN pg_catalog.pg_inherits i ON i.inhparent = b.relid
)
SELECT k.oid, k.conname, n.nspname, c.relname, c.relkind = 'p', ln.nspname, l.relname
FROM keys k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN below b ON b.root IN (k.conrelid, k.confrelid)
JOIN pg_catalog.pg_class l ON l.oid = b.relid AND l.relkind <> 'p'
JOIN pg_catalog.pg_namespace ln ON ln.oid = l.relnamespace
ORDER BY k.oid, ln.nspname, l.relname
