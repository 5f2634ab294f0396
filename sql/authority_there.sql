-- Whether this side has the table of authority (before the first switch is prepared it has not), and whether by a leat that records servers. Of the
-- catalog: a door's role may have no right to schema leat yet, nor to know that there is nothing in it.
SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'leat' AND c.relname = 'authority'),
    EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'leat' AND p.proname = 'server' AND p.pronargs = 0)
