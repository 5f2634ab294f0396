-- Prepared transactions hold up the slot, whichever database of the server they are in, and gate the switch (trap P13).
SELECT NULL, p.gid,
    format('transaction %s prepared by %s in database %s has been open for %s: the slot is made only after it has ended', quote_literal(p.gid), p.owner, p.database,
        justify_interval(date_trunc('second', clock_timestamp() - p.prepared))),
    format('ROLLBACK PREPARED %s -- or COMMIT PREPARED, in database %s', quote_literal(p.gid), p.database)
FROM pg_catalog.pg_prepared_xacts p
ORDER BY p.prepared
