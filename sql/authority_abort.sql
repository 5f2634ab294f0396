-- Compare-and-set: true only if this very call ended the attempt.
SELECT leat.abort_attempt($1::pg_catalog.text, $2::pg_catalog.text, $3::pg_catalog.int8, $4::pg_catalog.int8)
