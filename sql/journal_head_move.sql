-- The record now ends at event ?1, whose hash is ?2.
UPDATE head SET seq = ?1, hash = ?2 WHERE id = 1;
