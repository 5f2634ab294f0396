-- A lease whose token is not the one its last event gave out.
WITH said AS (
    SELECT json_extract(body, '$.lease') AS name, json_extract(body, '$.token') AS token, max(seq) AS seq
    FROM events WHERE kind = 'lease.taken' GROUP BY 1)
SELECT '', coalesce(said.name, leases.name)
FROM said FULL JOIN leases ON leases.name = said.name
WHERE said.token IS NOT leases.token LIMIT 1;
