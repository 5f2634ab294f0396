-- The fence and the row of authority, on each side (docs/adr/0011, spec/README.md). Every function pins its path; nobody but leat may call any, and, where doors have a
-- role of their own, that one those by which who serves is settled (door_role_grants.sql): these run with their owner's rights, leat's. Each that changes the row compares and sets, writes in any case, and waits for the standbys a commit waits for: what is read after it returned is as durable
-- as its own commit (a decision may be seen before its standby has it; spec/, read-unconfirmed).
--   leat.fence()          what the trigger on every table does, on the side without the authority
--   leat.server()         which server this is, and on which timeline: a standby that was promoted is on another one; NULL: it is in recovery
--   leat.gate(...)        an attempt begins: its number and both servers, in either side's row. The side that serves must not have failed over since the gate before;
--                         of the other one nothing was to be kept but what both rows say now
--   leat.decide(...)      this side no longer serves: in the transaction that holds the locks, on the timeline of the gate
--   leat.open_side(...)   this side serves from that epoch on, by that attempt: row and fence in one transaction, safe to be done again. Not while a table is being copied to it:
--                         whoever begins that takes this row FOR SHARE, and may do so between the decision and this
--   leat.abort_attempt()  an attempt ends on the side that serves: from then on it cannot be decided
--   leat.annul_attempt()  the other side failed over: what it may have decided before can no longer be opened here ...
--   leat.take_over()      ... and only after that does abort_attempt's like count there, on its new timeline
--   leat.force_open()     the other side is lost for good: this one serves, whatever that one says, as the server it is now; by a later epoch than any known
--   leat.leave()          the other side serves since then: this one, which is back, no longer does; one that was shut all the while has only to take the epoch
-- Whoever grants the doors' role changes the same rows of the catalog (door_role.c).
SELECT pg_catalog.pg_advisory_xact_lock(1818583412, 1935894637);
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

-- Trap: pg_control_checkpoint() names the old timeline until the checkpoint that follows a promotion. A managed service may refuse pg_control_system().
CREATE OR REPLACE FUNCTION leat.server() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $leat$
DECLARE
    id text;
BEGIN
    IF pg_is_in_recovery() THEN
        RETURN NULL;
    END IF;
    BEGIN
        SELECT s.system_identifier::text INTO id FROM pg_control_system() s;
    EXCEPTION WHEN insufficient_privilege THEN
        id := '?';
    END;
    RETURN id || '/' || ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint;
END
$leat$;

CREATE OR REPLACE FUNCTION leat.gate(of_migration text, of_store text, of_epoch bigint, of_attempt bigint, next_attempt bigint, source text, target text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $leat$
DECLARE
    a leat.authority;
    stands boolean;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true), set_config('lock_timeout', '4s', true);
    SELECT x.* INTO a FROM leat.authority x WHERE x.migration = of_migration AND x.store = of_store FOR UPDATE;
    stands := coalesce(a.epoch = of_epoch AND a.attempt = of_attempt AND leat.server() = CASE a.here WHEN 'source' THEN source ELSE target END
        AND (NOT a.open OR leat.server() = coalesce(CASE a.here WHEN 'source' THEN a.source_server ELSE a.target_server END, leat.server())), false);
    UPDATE leat.authority x SET attempt = CASE WHEN stands THEN next_attempt ELSE x.attempt END, source_server = CASE WHEN stands THEN source ELSE x.source_server END,
        target_server = CASE WHEN stands THEN target ELSE x.target_server END WHERE x.migration = of_migration AND x.store = of_store;
    RETURN stands;
END
$leat$;

CREATE OR REPLACE FUNCTION leat.decide(of_migration text, of_store text, of_epoch bigint, of_attempt bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $leat$
DECLARE
    named text;
BEGIN
    UPDATE leat.authority a SET epoch = of_epoch + 1, side = CASE a.here WHEN 'source' THEN 'target' ELSE 'source' END, open = false
        WHERE a.migration = of_migration AND a.store = of_store AND a.epoch = of_epoch AND a.attempt = of_attempt AND a.side = a.here AND a.open
            AND CASE a.here WHEN 'source' THEN a.source_server ELSE a.target_server END = leat.server()
        RETURNING a.fence INTO named;
    IF named IS NULL THEN
        RETURN false;
    END IF;
    PERFORM leat.fence_set(named, 'ENABLE ALWAYS');
    INSERT INTO leat.turn (migration, store, epoch, serves) VALUES (of_migration, of_store, of_epoch + 1, false);
    RETURN true;
END
$leat$;

DROP FUNCTION IF EXISTS leat.open_side(text, text, bigint, text);
CREATE OR REPLACE FUNCTION leat.open_side(of_migration text, of_store text, of_epoch bigint, of_side text, of_attempt bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $leat$
DECLARE
    a leat.authority;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true), set_config('lock_timeout', '4s', true);
    SELECT x.* INTO a FROM leat.authority x WHERE x.migration = of_migration AND x.store = of_store FOR UPDATE;
    IF a.epoch = of_epoch AND a.side = a.here AND a.open THEN
        UPDATE leat.authority x SET attempt = x.attempt WHERE x.migration = of_migration AND x.store = of_store;
        RETURN true;
    END IF;
    IF a.epoch IS NULL OR a.here <> of_side OR a.epoch <> of_epoch - 1 OR a.attempt <> of_attempt OR a.open OR a.side = a.here THEN
        RETURN false;
    END IF;
    IF EXISTS (SELECT FROM leat.copy c WHERE c.migration = of_migration AND c.store = of_store || CASE a.here WHEN 'source' THEN '+back' ELSE '' END AND c.joined IS NULL) THEN
        RAISE EXCEPTION 'leat: tables are still being copied to the %: it serves once they are there', a.here USING ERRCODE = 'object_in_use';
    END IF;
    PERFORM leat.fence_set(a.fence, 'DISABLE');
    UPDATE leat.authority x SET epoch = of_epoch, side = x.here, open = true WHERE x.migration = of_migration AND x.store = of_store;
    INSERT INTO leat.turn (migration, store, epoch, serves) VALUES (of_migration, of_store, of_epoch, true);
    RETURN true;
END
$leat$;

CREATE OR REPLACE FUNCTION leat.abort_attempt(of_migration text, of_store text, of_epoch bigint, of_attempt bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $leat$
DECLARE
    a leat.authority;
    stands boolean;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true), set_config('lock_timeout', '4s', true);
    SELECT x.* INTO a FROM leat.authority x WHERE x.migration = of_migration AND x.store = of_store FOR UPDATE;
    stands := coalesce(a.epoch = of_epoch AND a.attempt = of_attempt AND a.side = a.here AND a.open
        AND leat.server() = coalesce(CASE a.here WHEN 'source' THEN a.source_server ELSE a.target_server END, leat.server()), false);
    UPDATE leat.authority x SET attempt = CASE WHEN stands THEN of_attempt + 1 ELSE x.attempt END WHERE x.migration = of_migration AND x.store = of_store;
    RETURN stands;
END
$leat$;

CREATE OR REPLACE FUNCTION leat.annul_attempt(of_migration text, of_store text, of_epoch bigint, of_attempt bigint, other_server text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $leat$
DECLARE
    a leat.authority;
    stands boolean;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true), set_config('lock_timeout', '4s', true);
    SELECT x.* INTO a FROM leat.authority x WHERE x.migration = of_migration AND x.store = of_store FOR UPDATE;
    stands := coalesce(a.epoch = of_epoch AND a.attempt = of_attempt AND a.side <> a.here AND NOT a.open, false);
    UPDATE leat.authority x SET attempt = CASE WHEN stands THEN of_attempt + 1 ELSE x.attempt END,
        source_server = CASE WHEN stands AND x.here = 'target' THEN other_server ELSE x.source_server END,
        target_server = CASE WHEN stands AND x.here = 'source' THEN other_server ELSE x.target_server END WHERE x.migration = of_migration AND x.store = of_store;
    RETURN stands;
END
$leat$;

CREATE OR REPLACE FUNCTION leat.take_over(of_migration text, of_store text, of_epoch bigint, of_attempt bigint, of_server text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $leat$
DECLARE
    a leat.authority;
    stands boolean;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true), set_config('lock_timeout', '4s', true);
    SELECT x.* INTO a FROM leat.authority x WHERE x.migration = of_migration AND x.store = of_store FOR UPDATE;
    stands := coalesce(a.epoch = of_epoch AND a.attempt = of_attempt AND a.side = a.here AND a.open AND leat.server() = of_server, false);
    UPDATE leat.authority x SET attempt = CASE WHEN stands THEN of_attempt + 1 ELSE x.attempt END,
        source_server = CASE WHEN stands AND x.here = 'source' THEN leat.server() ELSE x.source_server END,
        target_server = CASE WHEN stands AND x.here = 'target' THEN leat.server() ELSE x.target_server END WHERE x.migration = of_migration AND x.store = of_store;
    RETURN stands;
END
$leat$;

DROP FUNCTION IF EXISTS leat.force_open(text, text, bigint, bigint);
CREATE OR REPLACE FUNCTION leat.force_open(of_migration text, of_store text, of_epoch bigint, of_attempt bigint, next_epoch bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $leat$
DECLARE
    a leat.authority;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true), set_config('lock_timeout', '4s', true);
    SELECT x.* INTO a FROM leat.authority x WHERE x.migration = of_migration AND x.store = of_store FOR UPDATE;
    IF a.epoch IS NULL OR a.epoch <> of_epoch OR a.attempt <> of_attempt OR next_epoch <= of_epoch OR leat.server() IS NULL THEN
        RETURN false;
    END IF;
    PERFORM leat.fence_set(a.fence, 'DISABLE');
    UPDATE leat.authority x SET epoch = next_epoch, side = x.here, attempt = of_attempt + 1, open = true,
        source_server = CASE x.here WHEN 'source' THEN leat.server() ELSE x.source_server END,
        target_server = CASE x.here WHEN 'target' THEN leat.server() ELSE x.target_server END WHERE x.migration = of_migration AND x.store = of_store;
    INSERT INTO leat.turn (migration, store, epoch, serves) VALUES (of_migration, of_store, next_epoch, true);
    RETURN true;
END
$leat$;

-- What it took in beyond the other side is on this side alone: every table is to be compared before the authority may come back.
CREATE OR REPLACE FUNCTION leat.leave(of_migration text, of_store text, of_epoch bigint, of_attempt bigint, serving_epoch bigint, stream_here text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $leat$
DECLARE
    a leat.authority;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true), set_config('lock_timeout', '4s', true);
    SELECT x.* INTO a FROM leat.authority x WHERE x.migration = of_migration AND x.store = of_store FOR UPDATE;
    IF a.epoch IS NULL OR a.epoch <> of_epoch OR a.attempt <> of_attempt OR serving_epoch <= of_epoch THEN
        RETURN false;
    END IF;
    UPDATE leat.authority x SET epoch = serving_epoch, side = CASE x.here WHEN 'source' THEN 'target' ELSE 'source' END, open = false
        WHERE x.migration = of_migration AND x.store = of_store;
    IF NOT a.open THEN
        RETURN true;
    END IF;
    PERFORM leat.fence_set(a.fence, 'ENABLE ALWAYS');
    INSERT INTO leat.turn (migration, store, epoch, serves) VALUES (of_migration, of_store, serving_epoch, false);
    INSERT INTO leat.ledger (migration, store, position, table_name, kind, why)
        SELECT of_migration, stream_here, pg_current_wal_lsn(), c.table_name, 'left-behind', 'this side was left by --force: what was written here and had not reached the other side is here alone'
        FROM leat.copy c WHERE c.migration = of_migration AND c.store = stream_here ORDER BY c.table_name;
    RETURN true;
END
$leat$;
REVOKE ALL ON FUNCTION leat.fence() FROM PUBLIC;
REVOKE ALL ON FUNCTION leat.fence_set(text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION leat.server() FROM PUBLIC;
REVOKE ALL ON FUNCTION leat.gate(text, text, bigint, bigint, bigint, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION leat.decide(text, text, bigint, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION leat.open_side(text, text, bigint, text, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION leat.abort_attempt(text, text, bigint, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION leat.annul_attempt(text, text, bigint, bigint, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION leat.take_over(text, text, bigint, bigint, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION leat.force_open(text, text, bigint, bigint, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION leat.leave(text, text, bigint, bigint, bigint, text) FROM PUBLIC
