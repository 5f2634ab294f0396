-- The row of a lease is never deleted: its token must go on growing.
INSERT INTO leases (name, token, held, host, place, pid, started, ttl_us, taken_at_us, renewed_at_us, renewed_mono_us)
VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)
ON CONFLICT (name) DO UPDATE SET token = excluded.token, held = 1, host = excluded.host, place = excluded.place,
    pid = excluded.pid, started = excluded.started, ttl_us = excluded.ttl_us, taken_at_us = excluded.taken_at_us,
    renewed_at_us = excluded.renewed_at_us, renewed_mono_us = excluded.renewed_mono_us;
