-- A step whose row is not what its last event says.
WITH said AS (
    SELECT store, json_extract(body, '$.step') AS step, substr(kind, 6) AS state, max(seq) AS seq
    FROM events WHERE kind IN ('step.intent', 'step.done', 'step.undone') GROUP BY 1, 2)
SELECT coalesce(said.store, steps.store), coalesce(said.step, steps.step)
FROM said FULL JOIN steps ON steps.store = said.store AND steps.step = said.step
WHERE said.state IS NOT steps.state LIMIT 1;
