-- The tables that enabled subscriptions of this database bring rows into. Trap: an apply worker fires no statement trigger, so it passes every fence.
SELECT s.subname, r.srrelid
FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_subscription_rel r ON r.srsubid = s.oid
WHERE s.subenabled AND s.subdbid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
ORDER BY s.subname, r.srrelid
