"""The source comes first: what happens, step by step, when it holds back more of its log for us than it may."""
import json
import re

import pytest

from follow import Scene
from followed import DATABASE, Followed
from proxy import Proxy
from wait import wait_for

SLOT = "select confirmed_flush_lsn - '0/0' from pg_replication_slots where slot_name like 'leat%%'"


def governed(m):
    return [e["body"]["does"] if isinstance(e["body"], dict) else json.loads(e["body"])["does"] for e in m.run("events").events if e.get("kind") == "governor"]


def wait_governed(m, act, deadline=30):
    wait_for(lambda: act in governed(m), deadline, f"the governor to {act}", show=lambda: f"{governed(m)}" + m.logs())


def write(server, megabytes):
    """So much, in transactions of 1 MB that hardly compress."""
    c = server.conn(db="shop", autocommit=True)
    for _ in range(megabytes):
        c.cursor().execute("insert into wide (a) select string_agg(md5(random()::text), '') from generate_series(1, 32 * 1024) g")
    c.close()


def wait_fault(m, code):
    status = m.wait_status(lambda s: (s["stores"][0].get("fault") or {}).get("code") == code, 40, f"the store to stop with {code}")
    return status["stores"][0]["fault"]


@pytest.mark.trap("P2", "P15")
def test_slow_target_costs_the_source_no_log(server, migration):
    with Scene(server, migration, 15, 17, seed=21, awkwardly=False, extra="limits:\n  source_wal: 32MB\n") as scene:
        scene.old.sql("create table wide (id bigserial primary key, a text); alter table wide alter a set storage external", db="shop")
        scene.old.sql("insert into wide (a) values ('first')", db="shop")
        scene.start()
        scene.wait_following()
        blocker = scene.new.conn(db="shop")
        blocker.cursor().execute("select 1 from wide where id = 1 for update")
        scene.old.sql("update wide set a = 'held up' where id = 1", db="shop")
        write(scene.old, 160)   # more than queue and lanes hold
        wait_governed(scene.leat, "through the spool")
        position = scene.old.one("select pg_current_wal_lsn() - '0/0'")
        wait_for(lambda: scene.old.one(SLOT) >= position, 90, f"the slot to pass {position}", show=scene.leat.logs)
        scene.kill_engines(1)
        blocker.rollback()
        blocker.close()
        scene.wait_following()
        scene.finish()


def test_last_resort(server, migration):
    """The target is away, the spool used up: the slot goes, said before and after; nothing goes on as if it had not."""
    extra = "limits:\n  source_wal: 8MB\n  spool: 8MB\n  drop_slot_after: 2s\n"
    with Scene(server, migration, 15, 17, seed=22, awkwardly=False, extra=extra) as scene:
        scene.old.sql("create table wide (id bigserial primary key, a text); alter table wide alter a set storage external", db="shop")
        scene.start()
        scene.wait_following()
        scene.new.stop()
        scene.leat.wait_status(lambda s: s["stores"][0].get("target_away"), 30, "the target to be noticed as away")
        write(scene.old, 40)
        fault = wait_fault(scene.leat, "slot-dropped")
        assert "--arm-again" in fault["todo"]
        assert scene.old.sql("select 1 from pg_replication_slots where slot_name like 'leat%%'") == []
        assert governed(scene.leat)[-2:] == ["wait", "drop the slot"]
        scene.new.start()
        scene.leat.run("stop")
        scene.leat.run("start", "--yes", check=False)   # it may have stopped before start returned, which start then says
        wait_fault(scene.leat, "slot-dropped")
        scene.arm_again()


@pytest.mark.parametrize("named", [False, True])
def test_snapshot_age(server, migration, named):
    """A table that takes long to copy: it stops the store, unless it is named as one that may."""
    old, new = server(15, "old"), server(17, "new")
    dsns = old.createdb("shop"), new.createdb("shop")
    old.sql("create function slowly(int) returns bool language plpgsql as $$begin perform pg_sleep(0.005); return true; end$$;"
            " create table slow (id int primary key check (public.slowly(id)));"
            " insert into slow select g from generate_series(1, 600) g", db="shop")
    m = migration({"shop": dsns}, extra="limits:\n  snapshot_age: 1s\n")
    if named:
        m.write(m.config.read_text().replace("    engine: postgresql\n", "    engine: postgresql\n    long_snapshots: [public.sl*]\n"))
    m.run("start", "--yes", check=named)
    if named:
        m.wait_status(lambda s: s["stores"][0].get("following"), 60, "following")
        assert new.one("select count(*) from slow", db="shop") == 600
        return
    fault = wait_fault(m, "snapshot-age")
    assert "public.slow" in fault["why"]
    assert old.one("select count(*) from pg_stat_activity where application_name like 'leat: %%' and xact_start is not null") == 0


def test_snapshot_age_counts_on_over_engines(server, migration):
    """The holder keeps the snapshot while engines die: none of them lives as long as the limit, the snapshot does."""
    old, new = server(15, "old"), server(17, "new")
    dsns = old.createdb("shop"), new.createdb("shop")
    old.sql("create function slowly(int) returns bool language sql as 'select true';"
            " create table slow (id int primary key check (public.slowly(id)), x text); alter table slow alter x set storage plain;"
            " insert into slow select g, repeat('x', 7000) from generate_series(1, 10000) g;"
            " create or replace function slowly(int) returns bool language plpgsql as $$begin perform pg_sleep(0.005); return true; end$$", db="shop")
    m = migration({"shop": dsns}, extra="limits:\n  snapshot_age: 10s\n")
    m.run("start", "--yes")
    wait_for(lambda: new.one("select to_regclass('leat.copy') is not null", db="shop"), 30, "the records", show=m.logs)

    def held():
        found = new.sql("select snapshot_name, extract(epoch from clock_timestamp() - opened) from leat.copy where table_name = 'public.slow' and snapshot_name is not null", db="shop")
        return found[0] if found else (None, 0)
    name = wait_for(lambda: held()[0], 30, "the snapshot to be held", show=m.logs)
    for age in (3, 8):
        wait_for(lambda: held()[1] > age and m.pids("engine"), 30, "an engine to kill", show=m.logs)
        m.kill9("engine")
    fault = wait_fault(m, "snapshot-age")
    said = re.search(r"public\.slow has held its snapshot for (\d+) s", fault["why"])
    assert said and int(said[1]) < 16 and held()[0] == name, (fault, name, held())


def test_plan_names_tables_that_would_hold_a_snapshot_too_long(server, migration):
    old, new = server(15, "old"), server(17, "new")
    dsns = old.createdb("shop"), new.createdb("shop")
    old.sql("create table large as select g id, repeat('x', 1000) a from generate_series(1, 90000) g; create table small (id int primary key)", db="shop")
    m = migration({"shop": dsns}, extra="limits:\n  snapshot_age: 1s\n")
    assert "public.large" in m.run("plan", output="text").out
    m.write(m.config.read_text().replace("    engine: postgresql\n", "    engine: postgresql\n    long_snapshots: [public.large]\n"))
    assert "snapshot_age" not in m.run("plan", output="text").out


def test_a_comparison_waits_while_the_target_is_late(server, migration):
    """Slowed, then paused, and said; it goes on when the lag is gone."""
    with Followed(server, migration, 15, 17, "create table t (id int primary key, x text); insert into t select g, repeat('x', 100) from generate_series(1, 100000) g") as f, Proxy(f.old.port) as slow:
        f.leat = migration({DATABASE: (slow.dsn(f.dsns[0]), f.dsns[1])})
        f.start()
        slow.rate = 3_000_000
        job = f.leat.start_run("verify")
        verifying = lambda: f.leat.status(DATABASE).get("verifying") or {}
        wait_for(lambda: verifying().get("rows_done"), 30, "the comparison to read", show=f.story)
        slow.rate = 1_000_000
        blocker = f.new.conn(db=DATABASE)
        blocker.cursor().execute("select 1 from t where id = 1 for update")
        f.source("update t set x = 'held up' where id = 1")
        wait_for(lambda: verifying().get("governor") == "paused by the governor", 30, "it to be paused", show=f.story)
        read = verifying()["rows_done"]
        slow.rate = 0   # what is on its way comes; the rest waits for us
        wait_for(lambda: f.leat.status(DATABASE)["lag_seconds"] > 2, 30, "the lag", show=f.story)
        assert job.running() and verifying()["rows_done"] <= read + 2048, (read, verifying())
        blocker.rollback()
        blocker.close()
        assert job.wait(60).json["ok"]
        f.equal()
