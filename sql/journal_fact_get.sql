SELECT value FROM facts WHERE store = ?1 AND name = ?2;
