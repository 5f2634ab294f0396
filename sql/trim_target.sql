-- $1 migration, $2 forward stream, $3 join stream, $4 ahead: only the newest mark of each lane stays, and of what went ahead nothing
-- that the forward stream has passed.
WITH passed AS (
    DELETE FROM leat.progress a
    WHERE a.migration = $1 AND a.stream = $4
        AND a.position < (SELECT m.position FROM leat.progress m WHERE m.migration = $1 AND m.stream = $2 ORDER BY m.position DESC LIMIT 1))
DELETE FROM leat.progress p
WHERE p.migration = $1 AND p.stream IN ($2, $3)
    AND p.ctid <> ALL (ARRAY(
        SELECT DISTINCT ON (n.stream, n.lane) n.ctid FROM leat.progress n
        WHERE n.migration = $1 AND n.stream IN ($2, $3)
        ORDER BY n.stream, n.lane, n.position DESC))
