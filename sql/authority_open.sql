-- True if this side is open at that epoch now.
SELECT leat.open_side($1::pg_catalog.text, $2::pg_catalog.text, $3::pg_catalog.int8, $4::pg_catalog.text)
