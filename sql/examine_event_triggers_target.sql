-- Event triggers that stand on the target already would fire while leat builds there.
SELECT NULL, e.evtname,
    format('event trigger %I (%s) stands on the target and would run %s at every statement by which leat builds the schema', e.evtname, e.evtevent, e.evtfoid::regproc),
    format('ALTER EVENT TRIGGER %I DISABLE', e.evtname)
FROM pg_catalog.pg_event_trigger e
WHERE e.evtenabled NOT IN ('D', 'R') AND e.evtname NOT LIKE 'leat%'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_event_trigger'::regclass AND d.objid = e.oid AND d.deptype = 'e')
ORDER BY 2
