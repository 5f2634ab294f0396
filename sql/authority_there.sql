-- Whether this side has the table of authority (before the first switch is prepared it has not), and whether by a leat that records servers.
SELECT pg_catalog.to_regclass('leat.authority') IS NOT NULL, pg_catalog.to_regprocedure('leat.server()') IS NOT NULL
