"""Copying again: a table of a running migration, a table emptied without a word (P28), every table behind a new slot; whatever is killed."""
import contextlib
import json
import shutil
import threading

import pytest

from follow import PAUSE, Scene
from followed import Followed
from wait import wait_for

# Foreign keys onto and from the table copied again; a unique index beside its key; an identity that always generates.
FAMILY = """
create table parent (id int generated always as identity primary key, x text, code int unique);
create table child (id int primary key, p int references parent on delete cascade, q int references parent on delete set null);
create table root (id int primary key);
insert into root select generate_series(1, 10);
alter table parent add r int references root on delete cascade;
insert into parent (x, code, r) select repeat('x', 100), g, 1 + g % 10 from generate_series(1, 2000) g;
insert into child select g, 1 + g % 1000, 1 + g % 500 from generate_series(1, 3000) g;
"""


class Family:
    """Writes parents and children until told to stop."""

    def __init__(self, scene):
        self.scene, self.stop = scene, threading.Event()
        self.thread = threading.Thread(target=self._work)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def _work(self):
        conn = self.scene.old.conn(db="shop", autocommit=True)
        cursor, n = conn.cursor(), 10000
        while not self.stop.is_set():
            n += 1
            cursor.execute("insert into parent (x, code, r) values ('new', %s, 1 + %s %% 10) returning id", (n, n))
            parent = cursor.fetchone()[0]
            cursor.execute("insert into child values (%s, %s, %s)", (n, parent, parent))
            cursor.execute("update parent set x = x || '.', code = code + 1000000 where id = 1 + %s %% 900", (n,))
            cursor.execute("delete from parent where id = %s", (parent - 5,))
            self.stop.wait(PAUSE)
        conn.close()


def family_scene(server, migration, source, target, **more):
    scene = Scene(server, migration, source, target, **more)
    scene.old.sql(FAMILY, db="shop")
    return scene


def events(leat, kind):
    found = [e for e in leat.run("events").events if e.get("kind") == kind]
    return [e["body"] if isinstance(e["body"], dict) else json.loads(e["body"]) for e in found]


def attempt_of(scene, table):
    return scene.new.one(f"select max(attempt) from leat.copy where table_name = '{table}'", db="shop")


def wait_joined(scene, table, attempt):
    wait_for(lambda: scene.new.one(f"select count(*) from leat.copy where table_name = '{table}' and attempt >= {attempt} and joined is not null", db="shop") == 1,
             60, f"{table} to join again", show=scene.leat.logs)


def fault_code(scene, code, deadline=30):
    return scene.leat.wait_status(lambda s: (s["stores"][0].get("fault") or {}).get("code") == code, deadline, f"the fault {code}")


def drop_slot(scene):
    """The slot is dropped behind the engine's back, at an instant when nobody reads from it."""
    def gone():
        scene.old.sql("select pg_terminate_backend(active_pid) from pg_replication_slots where active", db="shop")
        try:
            scene.old.sql("select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active", db="shop")
        except Exception:  # taken again between the two
            return False
        return scene.old.one("select count(*) from pg_replication_slots", db="shop") == 0
    wait_for(gone, 30, "the slot to be gone")


@pytest.mark.parametrize("source,target,kills", [(13, 17, 0), (15, 15, 5)])
def test_tables_copied_again_under_load(server, migration, source, target, kills):
    with family_scene(server, migration, source, target, seed=31, scale=6, awkwardly=False) as scene, Family(scene) as family:
        scene.start()
        scene.wait_following()
        answer = scene.leat.run("resume", "shop", "--copy-again", "public.parent,pgbench_accounts", check=False)
        assert answer.status == 3 and attempt_of(scene, "public.parent") == 1, answer  # not without consent
        assert scene.leat.run("resume", "shop", "--copy-again", "public.nothing", "--yes", check=False).status == 64
        scene.leat.run("resume", "shop", "--copy-again", "public.parent,pgbench_accounts", "--yes")
        scene.kill_engines(kills)
        wait_joined(scene, "public.parent", 2)
        wait_joined(scene, "public.pgbench_accounts", 2)
        assert attempt_of(scene, "public.child") == 1
        scene.wait_following()
        assert {b["table"] for b in events(scene.leat, "copy.table.again")} == {"public.parent", "public.pgbench_accounts"}
        family.__exit__()
        scene.finish()
        assert scene.new.one("select count(*) from pg_constraint where contype = 'f' and not convalidated", db="shop") == 0


@pytest.mark.parametrize("kills", [0, 4])
def test_p28_truncate_that_is_not_decoded(server, migration, kills):
    with family_scene(server, migration, 10, 15, seed=28, scale=2, awkwardly=False) as scene:
        scene.old.sql("create table log (id int primary key, x text); insert into log select g, 'old' from generate_series(1, 5000) g", db="shop")
        scene.start()
        scene.wait_following()
        for turn in range(2):
            scene.old.sql(f"truncate log; insert into log select g, 'new {turn}' from generate_series(4000, 7000) g", db="shop")
            scene.kill_engines(kills)
            wait_joined(scene, "public.log", 2 + turn)
        scene.wait_following()
        assert any("TRUNCATE" in b["why"] for b in events(scene.leat, "copy.table.again"))
        scene.finish()


def test_p28_truncate_while_copying(server, migration):
    with family_scene(server, migration, 10, 15, seed=29, scale=2, awkwardly=False) as scene:
        scene.old.sql("create table log (id int primary key, x text); insert into log select g, 'old' from generate_series(1, 5000) g", db="shop")
        scene.start()
        wait_for(lambda: scene.new.one("select to_regclass('leat.copy') is not null", db="shop")
                 and scene.new.one("select count(*) from leat.copy where table_name = 'public.log' and copied", db="shop") == 1, 60, "log to be copied")
        scene.old.sql("truncate log; insert into log values (1, 'new')", db="shop")
        wait_joined(scene, "public.log", 2)
        scene.wait_following()
        scene.finish()


@pytest.mark.parametrize("source,target,kills", [(13, 17, 0), (15, 18, 6)])
def test_slot_dropped_armed_again(server, migration, source, target, kills):
    with family_scene(server, migration, source, target, seed=41, scale=3, awkwardly=False) as scene, Family(scene) as family:
        scene.start()
        scene.wait_following()
        drop_slot(scene)
        fault = fault_code(scene, "slot-lost")["stores"][0]["fault"]
        assert "--arm-again" in fault["todo"], fault
        scene.load.wait_commits(50)  # which no slot keeps
        assert scene.leat.run("resume", "shop", "--arm-again", check=False).status == 3
        scene.leat.run("resume", "shop", "--arm-again", "--yes")
        scene.kill_engines(kills)
        wait_joined(scene, "public.child", 2)
        scene.wait_following()
        family.__exit__()
        scene.finish()
        assert events(scene.leat, "stream.armed-again")


@pytest.mark.trap("P15")
def test_slot_invalidated_armed_again(server, migration):
    with family_scene(server, migration, 15, 15, seed=42, scale=2, awkwardly=False) as scene:
        scene.start()
        scene.wait_following()
        scene.leat.run("stop")
        scene.old.sql("alter system set max_slot_wal_keep_size = '1MB'", db="shop")
        scene.old.sql("select pg_reload_conf()", db="shop")

        def lost():
            scene.old.sql("insert into pgbench_history select 1, 1, 1, 1, now(), 'x' from generate_series(1, 50000)", db="shop")
            scene.old.sql("select pg_switch_wal()", db="shop")
            scene.old.sql("checkpoint", db="shop")
            return scene.old.one("select wal_status from pg_replication_slots", db="shop") == "lost"
        wait_for(lost, 30, "the slot to be invalidated")
        scene.old.sql("alter system reset max_slot_wal_keep_size", db="shop")
        scene.old.sql("select pg_reload_conf()", db="shop")
        scene.start()
        fault_code(scene, "slot-lost")
        scene.leat.run("resume", "shop", "--arm-again", "--yes")
        wait_joined(scene, "public.child", 2)
        scene.wait_following()
        scene.finish()


def test_lost_spool_names_its_tables(server, migration):
    with family_scene(server, migration, 15, 15, seed=43, scale=3, awkwardly=False) as scene:
        scene.start()
        scene.wait_following()
        scene.leat.run("stop")
        shutil.rmtree(scene.leat.state / "spool" / "shop")
        scene.new.sql("update leat.copy set joined = null, pass = null where table_name = 'public.child'", db="shop")  # as if it had not come so far
        scene.start()
        wait_joined(scene, "public.child", 2)
        scene.wait_following()
        assert [b["table"] for b in events(scene.leat, "copy.table.again")] == ["public.child"]
        scene.finish()


LOOSE = """
create unlogged table loose (id int primary key, x text);
create unlogged table on_loose (id int primary key, l int references loose);
create table spread (id int primary key, x text) partition by range (id);
create unlogged table spread_low partition of spread for values from (0) to (10000);
create table spread_high partition of spread for values from (10000) to (20000);
insert into loose select g, 'first' from generate_series(1, 3000) g;
insert into on_loose select g, g from generate_series(1, 100) g;
insert into spread select g * 10, 'first' from generate_series(1, 1500) g;
"""
AGAIN_LOGGED = ["public.loose", "public.on_loose", "public.spread_low"]


@pytest.mark.trap("P21")
@pytest.mark.parametrize("source,target,kills", [(13, 17, 0), (15, 18, 4)])
def test_unlogged_and_then_logged(server, migration, source, target, kills):
    """What was written while the table was unlogged is in no stream: the table is copied again, and what comes after it follows."""
    with Scene(server, migration, source, target, seed=51, scale=1, awkwardly=False) as scene:
        scene.old.sql(LOOSE, db="shop")
        scene.start()
        scene.wait_following()
        scene.old.sql("update loose set x = 'unseen'; insert into loose values (5000, 'unseen'); delete from on_loose where id < 50; update spread_low set x = 'unseen'", db="shop")
        assert scene.new.one("select count(*) from loose where x = 'first'", db="shop") == 3000   # as doctor said
        for table in ("loose", "on_loose", "spread_low"):
            scene.old.sql(f"alter table {table} set logged", db="shop")
            scene.old.sql(f"insert into {table} values (6003); update {table} set id = 6004 where id = 6003; delete from {table} where id = 2000", db="shop")
        scene.kill_engines(kills)
        for table in AGAIN_LOGGED:
            wait_joined(scene, table, 2)
        scene.old.sql("insert into loose values (7000, 'late'); update on_loose set l = 7000 where id = 70; insert into spread values (7001, 'late')", db="shop")
        scene.wait_following()
        said = [b["table"] for b in events(scene.leat, "copy.table.again") if "unlogged" in b["why"]]
        assert sorted(set(said)) == AGAIN_LOGGED, said
        scene.finish()
        assert scene.new.one("select count(*) from pg_class where relpersistence = 'u'", db="shop") == 0
        stats = "select most_common_vals::text from pg_stats where tablename = 'loose' and attname = 'x'"
        assert scene.new.one(stats, db="shop") == "{unseen}"   # of the rows as they are, not as they were


def test_a_source_without_room_for_a_mark(server, migration):
    """Neither a heartbeat nor its trimming finds room on the source (as on a full disk): what has been copied stays so, and engines go on, and start."""
    old, new = server(15, "old"), server(17, "new")
    dsns = old.createdb("shop"), new.createdb("shop")
    old.sql("create function gate(int) returns bool language plpgsql as $$begin perform pg_advisory_xact_lock_shared(7); return true; end$$;"
            " create table held (id int primary key check (public.gate(id))); insert into held select generate_series(1, 1000)", db="shop")
    m = migration({"shop": dsns})
    refused, show = lambda: old.one("select last_value from refused", db="shop"), lambda: m.run("status", check=False).out + m.logs()
    with contextlib.closing(new.conn("shop")) as gate:   # copied only once nothing finds room
        gate.cursor().execute("select pg_advisory_lock(7)")
        m.run("start", "--yes")
        wait_for(lambda: new.one("select to_regclass('leat.copy') is not null", db="shop") and m.status()["stores"][0]["phase"] == "copy", 30, "the copy", show=show)
        old.sql("create sequence refused; create function no_room() returns trigger language plpgsql as"
                " $$begin perform nextval('public.refused'); raise 'could not extend file: No space left on device' using errcode = '53100'; end$$;"
                " create trigger no_room before insert or delete on leat.progress execute function no_room()", db="shop")
    attempt = lambda: wait_for(lambda: new.sql("select attempt from leat.copy where table_name = 'public.held' and copied", db="shop"), 30, "held to be copied", show=show)[0][0]
    first = attempt()
    for _ in range(2):
        then = refused()
        wait_for(lambda: refused() >= then + 5, 40, "marks to be refused", show=show)
        assert attempt() == first and new.one("select count(*) from held", db="shop") == 1000
        assert not m.status()["stores"][0]["fault"], show()
        m.kill9("engine")
        wait_for(lambda: m.pids("engine"), 20, "the next engine", show=show)
    engines, then = m.pids("engine"), refused()
    wait_for(lambda: refused() >= then + 8, 40, "marks to be refused", show=show)
    old.sql("drop trigger no_room on leat.progress", db="shop")
    m.wait_status(lambda s: s["stores"][0].get("following"), 40, "following")
    assert attempt() == first and m.pids("engine") == engines


def test_a_source_that_cannot_spill(server, migration):
    """A file the source could not write while it decoded a large transaction: tried again, and the slot is as good as before."""
    with Followed(server, migration, 15, 17, "create table t (n int primary key, x text)", settings={"logical_decoding_work_mem": "64kB"}) as f:
        f.start()
        slot = f.old.data / "pg_replslot" / f.old.one("select slot_name from pg_replication_slots")
        away = slot.rename(slot.with_name("away"))
        f.source("insert into t select g, repeat('x', 500) from generate_series(1, 10000) g")
        wait_for(lambda: "spill" in f.leat.logs(), 30, "the source to have failed to spill", show=f.story)
        away.rename(slot)
        f.equal()
        assert f.one("select count(*) from t") == 10000
