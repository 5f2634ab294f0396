-- $1 migration, $2 store, $3 the forward stream, $4 a mark of it; 0/0: it has brought nothing yet. Whether it is here, and every table follows.
SELECT ($4::pg_catalog.pg_lsn = '0/0' OR EXISTS (SELECT FROM leat.progress p WHERE p.migration = $1 AND p.stream = $3 AND p.position >= $4::pg_catalog.pg_lsn))
    AND NOT EXISTS (SELECT FROM leat.copy c WHERE c.migration = $1 AND c.store = $2 AND c.joined IS NULL)
