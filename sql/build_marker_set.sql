INSERT INTO leat.built (store, what, digest, done, total) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (store, what) DO UPDATE SET digest = excluded.digest, done = excluded.done, total = excluded.total, at = pg_catalog.clock_timestamp()
