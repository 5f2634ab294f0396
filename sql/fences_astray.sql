-- Fences of this side that do not stand as its row of authority says. Trap: ALTER TABLE … ENABLE TRIGGER ALL (pg_restore --disable-triggers ends
-- so) and DISABLE TRIGGER ALL mean the fence, too.
SELECT c.oid, n.nspname, c.relname, t.tgenabled
FROM leat.authority a
JOIN pg_catalog.pg_trigger t ON t.tgname = a.fence::pg_catalog.name AND t.tgenabled <> CASE WHEN a.open THEN 'D'::pg_catalog."char" ELSE 'A'::pg_catalog."char" END
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE a.migration = $1 AND a.store = $2
ORDER BY c.oid
