-- What notes every change of the source's schema in leat.ddl, in the change's own transaction. {table}, {type}: how a table and a
-- type are described. It runs with its owner's rights, so it pins the path before it does anything else, and it can be called by
-- nobody but the server. Whatever fails in it is forgotten: the user's statement never fails, and waits for nothing.
CREATE OR REPLACE FUNCTION leat.note_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $leat$
DECLARE
    path text := pg_catalog.current_setting('search_path');
    pinned text := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    said text;
    found jsonb;
BEGIN
    BEGIN
        IF current_setting('application_name') LIKE 'leat: %'
            OR TG_TAG ~ '(PUBLICATION|SUBSCRIPTION|USER MAPPING|SERVER|FOREIGN DATA WRAPPER|SECURITY LABEL|REINDEX|CLUSTER|REFRESH|STATISTICS)' THEN
            NULL;
        ELSIF TG_EVENT = 'sql_drop' AND TG_TAG LIKE 'DROP %' THEN
            SELECT jsonb_agg(o.what) INTO found FROM (
                SELECT jsonb_build_object('oid', d.objid::int8, 'kind', CASE d.object_type WHEN 'table' THEN 'r' WHEN 'index' THEN 'i' ELSE '-' END,
                    'schema', d.schema_name, 'name', coalesce(d.object_name, d.object_identity), 'gone', true) AS what
                FROM pg_event_trigger_dropped_objects() d
                WHERE NOT d.is_temporary AND d.schema_name IS DISTINCT FROM 'leat' AND (d.original OR d.object_type = 'table')
                UNION ALL
                SELECT {table}
                FROM (SELECT DISTINCT d.objid FROM pg_event_trigger_dropped_objects() d WHERE d.object_type = 'table column') d
                JOIN pg_class c ON c.oid = d.objid AND c.relpersistence <> 't' JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname <> 'leat') o;
        ELSIF TG_EVENT = 'ddl_command_end' AND TG_TAG NOT LIKE 'DROP %' THEN
            WITH RECURSIVE did AS (
                SELECT d.classid, d.objid, d.schema_name, d.object_identity FROM pg_event_trigger_ddl_commands() d
                WHERE NOT d.in_extension AND coalesce(d.schema_name NOT LIKE 'pg\_%' AND d.schema_name <> 'leat', true)
            ), tables AS (
                SELECT did.objid AS oid FROM did WHERE did.classid = 'pg_class'::regclass
                UNION
                SELECT i.inhrelid FROM pg_inherits i JOIN tables ON tables.oid = i.inhparent
            ), types AS (
                SELECT did.objid AS oid FROM did WHERE did.classid = 'pg_type'::regclass
                UNION
                SELECT k.contypid FROM did JOIN pg_constraint k ON did.classid = 'pg_constraint'::regclass AND k.oid = did.objid
                UNION
                SELECT c.reltype FROM did JOIN pg_class c ON did.classid = 'pg_class'::regclass AND c.oid = did.objid AND c.relkind = 'c'
            )
            SELECT jsonb_agg(o.what) INTO found FROM (
                (SELECT {table} AS what
                FROM tables t JOIN pg_class c ON c.oid = t.oid AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' JOIN pg_namespace n ON n.oid = c.relnamespace
                LIMIT 1000)
                UNION ALL
                SELECT {type}
                FROM types t JOIN pg_type y ON y.oid = t.oid JOIN pg_namespace n ON n.oid = y.typnamespace
                UNION ALL
                SELECT jsonb_build_object('oid', coalesce(did.objid::int8, 0), 'kind', '-', 'schema', did.schema_name, 'name', did.object_identity)
                FROM did LEFT JOIN pg_class c ON did.classid = 'pg_class'::regclass AND c.oid = did.objid
                WHERE coalesce(did.classid <> 'pg_type'::regclass AND coalesce(c.relkind NOT IN ('r', 'p', 'c'), true), true)) o;
        END IF;
        IF found IS NOT NULL THEN
            said := current_query();
            IF length(said) > 1000000 OR said ~* '\mpassword\M\s*=?\s*(''|e''|\$)' THEN
                said := NULL;
            END IF;
            INSERT INTO leat.ddl (tag, object, command, role, path, settings, event, objects)
            SELECT TG_TAG, found->0->>'name', said, CASE current_setting('role') WHEN 'none' THEN session_user ELSE current_setting('role') END, path,
                (SELECT jsonb_object_agg(s.name, s.setting)::text FROM pg_settings s
                    WHERE s.name IN ('TimeZone', 'DateStyle', 'IntervalStyle', 'extra_float_digits', 'bytea_output', 'lc_monetary', 'default_tablespace')),
                TG_EVENT, found::text;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        RAISE LOG 'leat: a change of the schema was not noted: %', SQLERRM;
    END;
    PERFORM pg_catalog.set_config('search_path', path, true);
END
$leat$;
REVOKE ALL ON FUNCTION leat.note_ddl() FROM PUBLIC;
DROP EVENT TRIGGER IF EXISTS leat_ddl;
DROP EVENT TRIGGER IF EXISTS leat_ddl_drop;
CREATE EVENT TRIGGER leat_ddl ON ddl_command_end EXECUTE PROCEDURE leat.note_ddl();
CREATE EVENT TRIGGER leat_ddl_drop ON sql_drop EXECUTE PROCEDURE leat.note_ddl();
ALTER EVENT TRIGGER leat_ddl ENABLE ALWAYS;
ALTER EVENT TRIGGER leat_ddl_drop ENABLE ALWAYS
