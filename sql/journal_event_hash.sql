-- The hash of one event, from which the chain is checked onwards.
SELECT hash FROM events WHERE seq = ?1;
