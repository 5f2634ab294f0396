-- Every row that claims to be an event, those with impossible numbers too.
SELECT seq, at_us, store, kind, body, hash FROM events ORDER BY seq;
