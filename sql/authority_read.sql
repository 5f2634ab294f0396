-- What this side says of who serves.
SELECT epoch, side, attempt, open FROM leat.authority WHERE migration OPERATOR(pg_catalog.=) $1::pg_catalog.text AND store OPERATOR(pg_catalog.=) $2::pg_catalog.text
