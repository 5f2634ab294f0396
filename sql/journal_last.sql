-- The last event there is, to be held against the head.
SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1;
