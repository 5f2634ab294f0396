-- The same of a side that was armed by a leat that recorded no servers.
SELECT epoch, side, attempt, open, '', NULL, NULL, here
FROM leat.authority WHERE migration OPERATOR(pg_catalog.=) $1::pg_catalog.text AND store OPERATOR(pg_catalog.=) $2::pg_catalog.text
