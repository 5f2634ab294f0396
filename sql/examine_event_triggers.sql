-- Event triggers of others: restored last on the target; making one takes a superuser (traps P21, P27).
SELECT NULL, e.evtname,
    format('event trigger %I (%s) runs %s: on the target it is made last, by a superuser', e.evtname, e.evtevent, e.evtfoid::regproc),
    ''
FROM pg_catalog.pg_event_trigger e
WHERE e.evtenabled <> 'D' AND e.evtname NOT LIKE 'leat%'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_event_trigger'::regclass AND d.objid = e.oid AND d.deptype = 'e')
ORDER BY 2
