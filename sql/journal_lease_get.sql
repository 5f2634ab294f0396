SELECT token, held, host, place, pid, started, ttl_us, taken_at_us, renewed_at_us, renewed_mono_us
FROM leases WHERE name = ?1;
