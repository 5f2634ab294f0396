-- $1 migration, $2 forward stream, $3 join stream: only the newest mark of each lane stays.
DELETE FROM leat.progress p
WHERE p.migration = $1 AND p.stream IN ($2, $3)
    AND p.ctid <> ALL (ARRAY(
        SELECT DISTINCT ON (n.stream, n.lane) n.ctid FROM leat.progress n
        WHERE n.migration = $1 AND n.stream IN ($2, $3)
        ORDER BY n.stream, n.lane, n.position DESC))
