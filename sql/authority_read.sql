-- What this side says of who serves; which server it is now, on which timeline (NULL: in recovery); which ones both were at the gate.
SELECT epoch, side, attempt, open, leat.server(), source_server, target_server, here
FROM leat.authority WHERE migration OPERATOR(pg_catalog.=) $1::pg_catalog.text AND store OPERATOR(pg_catalog.=) $2::pg_catalog.text
