-- Publications of others: their definitions move, their subscribers stay connected to the source.
SELECT NULL, p.pubname,
    format('publication %I: its definition moves to the target, its subscribers stay with the source until they are pointed elsewhere', p.pubname),
    ''
FROM pg_catalog.pg_publication p
WHERE NOT p.puballtables AND p.pubname NOT LIKE 'leat\_%'
ORDER BY 2
