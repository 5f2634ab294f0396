INSERT INTO events (seq, at_us, store, kind, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6);
