SELECT state FROM steps WHERE store = ?1 AND step = ?2;
