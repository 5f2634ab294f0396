-- A fact whose row is not what its last event says. Rows set quietly since have no event to be held against.
WITH said AS (
    SELECT store, json_extract(body, '$.name') AS name, json_extract(body, '$.value') AS value, max(seq) AS seq
    FROM events WHERE kind = 'fact' GROUP BY 1, 2)
SELECT coalesce(said.store, facts.store), coalesce(said.name, facts.name)
FROM said FULL JOIN facts ON facts.store = said.store AND facts.name = said.name
WHERE (facts.quiet IS NULL OR facts.quiet = 0) AND (said.seq IS NULL OR facts.quiet IS NULL OR said.value IS NOT facts.value)
LIMIT 1;
