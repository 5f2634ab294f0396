-- The fence and the row of authority, on each side (docs/adr/0011). Every function pins its path; nobody but leat may call any.
--   leat.fence()          what the trigger on every table does, on the side without the authority
--   leat.fence_hold(...)  the gate of this side shuts: part of the transaction that decides (row and fence together)
--   leat.open_side(...)   this side serves from that epoch on: row and fence in one transaction, safe to be done again
--   leat.abort_attempt()  an attempt ends by compare-and-set: from then on it cannot be decided. It writes in any case: what is read after
--                         it returned is as durable as its own commit (a decision may be seen before its standby has it; spec/, read-unconfirmed)
CREATE OR REPLACE FUNCTION leat.fence() RETURNS trigger LANGUAGE plpgsql AS $leat$
BEGIN
    RAISE EXCEPTION 'leat: %.% takes no writes on this side', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = '40001', HINT = 'The other side of the migration serves: connect to the door, and try again.';
END
$leat$;

CREATE OR REPLACE FUNCTION leat.fence_set(fence_name text, how text) RETURNS integer LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $leat$
DECLARE
    wanted "char" := CASE how WHEN 'ENABLE ALWAYS' THEN 'A' ELSE 'D' END;
    one oid;
    n integer := 0;
BEGIN
    FOR one IN SELECT t.tgrelid FROM pg_trigger t WHERE t.tgname = fence_name AND t.tgenabled <> wanted ORDER BY t.tgrelid LOOP
        EXECUTE format('ALTER TABLE ONLY %s %s TRIGGER %I', one::regclass, how, fence_name);
        n := n + 1;
    END LOOP;
    RETURN n;
END
$leat$;

CREATE OR REPLACE FUNCTION leat.decide(of_migration text, of_store text, of_epoch bigint, of_attempt bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $leat$
DECLARE
    named text;
BEGIN
    UPDATE leat.authority a SET epoch = of_epoch + 1, side = CASE a.here WHEN 'source' THEN 'target' ELSE 'source' END, attempt = 0, open = false
        WHERE a.migration = of_migration AND a.store = of_store AND a.epoch = of_epoch AND a.attempt = of_attempt AND a.side = a.here AND a.open
        RETURNING a.fence INTO named;
    IF named IS NULL THEN
        RETURN false;
    END IF;
    PERFORM leat.fence_set(named, 'ENABLE ALWAYS');
    INSERT INTO leat.turn (migration, store, epoch, serves) VALUES (of_migration, of_store, of_epoch + 1, false);
    RETURN true;
END
$leat$;

CREATE OR REPLACE FUNCTION leat.open_side(of_migration text, of_store text, of_epoch bigint, of_side text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $leat$
DECLARE
    a leat.authority;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    SELECT x.* INTO a FROM leat.authority x WHERE x.migration = of_migration AND x.store = of_store FOR UPDATE;
    IF a.epoch = of_epoch AND a.side = a.here AND a.open THEN
        RETURN true;
    END IF;
    IF a.epoch IS NULL OR a.here <> of_side OR a.epoch <> of_epoch - 1 OR a.open OR a.side = a.here THEN
        RETURN false;
    END IF;
    PERFORM leat.fence_set(a.fence, 'DISABLE');
    UPDATE leat.authority x SET epoch = of_epoch, side = x.here, attempt = 0, open = true WHERE x.migration = of_migration AND x.store = of_store;
    INSERT INTO leat.turn (migration, store, epoch, serves) VALUES (of_migration, of_store, of_epoch, true);
    RETURN true;
END
$leat$;

CREATE OR REPLACE FUNCTION leat.abort_attempt(of_migration text, of_store text, of_epoch bigint, of_attempt bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $leat$
DECLARE
    a leat.authority;
    stands boolean;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    SELECT x.* INTO a FROM leat.authority x WHERE x.migration = of_migration AND x.store = of_store FOR UPDATE;
    stands := coalesce(a.epoch = of_epoch AND a.attempt = of_attempt AND a.side = a.here AND a.open, false);
    UPDATE leat.authority x SET attempt = CASE WHEN stands THEN of_attempt + 1 ELSE x.attempt END WHERE x.migration = of_migration AND x.store = of_store;
    RETURN stands;
END
$leat$;
REVOKE ALL ON FUNCTION leat.fence() FROM PUBLIC;
REVOKE ALL ON FUNCTION leat.fence_set(text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION leat.decide(text, text, bigint, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION leat.open_side(text, text, bigint, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION leat.abort_attempt(text, text, bigint, bigint) FROM PUBLIC
