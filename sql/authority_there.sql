-- Whether this side has the table of authority: before the first switch is prepared it has not.
SELECT pg_catalog.to_regclass('leat.authority') IS NOT NULL
