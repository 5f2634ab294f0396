-- The head of a journal that holds no event yet.
INSERT INTO head (id, migration, seq, hash) VALUES (1, ?1, 0, ?2);
