INSERT INTO steps (store, step, state) VALUES (?1, ?2, ?3)
ON CONFLICT (store, step) DO UPDATE SET state = excluded.state;
