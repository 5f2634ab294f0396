UPDATE leases SET renewed_at_us = ?2, renewed_mono_us = ?3 WHERE name = ?1;
