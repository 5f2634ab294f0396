-- A deleted fact stays as a row without a value, so that a quiet deletion is told from a row that was taken away.
INSERT INTO facts (store, name, value, quiet) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (store, name) DO UPDATE SET value = excluded.value, quiet = excluded.quiet;
