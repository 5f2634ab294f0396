-- Subscriptions of this database: rows that come in by them are followed, but after the switch they come in on the wrong side.
SELECT NULL, s.subname,
    format('subscription %I brings rows in%s: they are followed, but after the switch it has to be made anew on the target', s.subname,
        CASE WHEN s.subenabled THEN '' ELSE ' (disabled now)' END),
    ''
FROM pg_catalog.pg_subscription s
WHERE s.subdbid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
ORDER BY 2
