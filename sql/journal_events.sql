-- Events after ?1, in the order they were appended.
SELECT seq, at_us, store, kind, body, hash FROM events WHERE seq > ?1 ORDER BY seq;
