"""Where a switch could go wrong although nobody died at a step of it: each of these did."""
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess

import psycopg2

from test_switch import Pair
from test_switch_faults import door_pid, one_side, stopped
from test_switch_rights import halted
from wait import wait_for

GATES = "gates:\n  rehearsals: 0\n  pause: 5s\n"


def write_through(dsn):
    """Whether a client that comes by the door is served."""
    try:
        with psycopg2.connect(dsn) as conn, conn.cursor() as c:
            c.execute("update account set balance = balance where id = 1")
        conn.close()
        return True
    except psycopg2.Error:
        return False


def goes_on(process):
    """Whether it has ended; tried again, it stops there again."""
    if process.poll() is None and stopped(process.pid):
        os.kill(process.pid, signal.SIGCONT)
    return process.poll() is not None


def gates_open(pair):
    pair.leat.wait_status(lambda s: all(g["ok"] for g in s["gates"]), 60, "all gates to be open")


def test_a_door_that_came_anew_before_the_decision(server, migration):
    """It reads "the source serves", and nobody holds it: the decision that follows must not leave it there."""
    pair = Pair(server, migration, 15, 15, extra=GATES, doors=1)
    pair.prepare()
    gates_open(pair)
    process = subprocess.Popen(pair.leat.command("cutover", "--yes"), cwd=pair.leat.folder, env={**pair.leat.env, "LEAT_HALT_AT": "decide"},
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: process.poll() is not None or stopped(process.pid), 60, "the switch to come to decide", show=pair.leat.logs)
    assert process.poll() is None, process.communicate()
    status = pair.leat.state / "run" / "shop.door.0.json"
    first = json.loads(status.read_text())["pid"]
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: (s := json.loads(status.read_text()))["pid"] != first and s["phase"] == "serving", 30, "another door to serve", show=pair.leat.logs)
    wait_for(lambda: goes_on(process), 100, "the switch to end", show=pair.leat.logs)
    process.communicate()
    one_side(pair)
    wait_for(lambda: write_through(pair.door_dsns()[0]), 15, "the door to forward to the side that serves", show=pair.leat.logs)


def test_triggers_all_enabled_or_all_disabled(server, migration):
    """What `pg_restore --data-only --disable-triggers` does to each table means the fence, too: here its doing on the wrong side, in either way."""
    pair = Pair(server, migration, 15, 15, extra=GATES)
    pair.start()
    pair.leat.run("rehearse", "--yes")
    fence = "select tgenabled from pg_trigger where tgname ~ '^leat_fence' and tgrelid = 'account'::regclass"
    pair.old.sql("alter table account enable trigger all", db="shop")
    pair.new.sql("alter table account disable trigger all", db="shop")
    wait_for(lambda: pair.old.one(fence, db="shop") == "D" and pair.new.one(fence, db="shop") == "A", 30, "the engine to set them right", show=pair.leat.logs)
    assert pair.serving() == ["source"]
    told = [e for e in pair.leat.run("events").events if e.get("kind") == "fence.mended"]
    assert {(e["body"]["side"], e["body"]["tables"]) for e in told} == {("source", "public.account"), ("target", "public.account")}, told
    pair.ready()
    engine = pair.leat_pid("shop")
    os.kill(engine, signal.SIGSTOP)   # it looks after nothing; the command does
    try:
        pair.old.sql("alter table account enable trigger all", db="shop")
        assert pair.serving() == []
        pair.leat.run("rehearse", "--yes", check=False)
        assert pair.serving() == ["source"]
    finally:
        os.kill(engine, signal.SIGCONT)


def test_a_subscription_passes_the_fence(server, migration):
    """Its apply worker fires no statement trigger: after a switch its rows would go on coming in on the side that does not serve."""
    pair = Pair(server, migration, 15, 15, extra=GATES)
    third = server(15, "third")
    third.createdb("shop")
    third.sql("create table feed (id int primary key, x text); create table apart (id int primary key); create publication feed for table feed; create publication apart for table apart", db="shop")
    pair.old.sql("create table feed (id int primary key, x text); create schema other; create table other.apart (id int primary key)", db="shop")
    pair.old.sql(f"create subscription feed connection '{third.dsn('shop')}' publication feed", db="shop")
    third.sql("insert into feed values (1, 'a')", db="shop")
    rows = "select count(*) from feed"
    wait_for(lambda: pair.old.one(rows, db="shop") == 1, 30, "the feed")
    pair.start()
    pair.leat.run("rehearse", "--yes", check=False)
    pair.ready()
    gates_open(pair)
    refused = pair.leat.run("cutover", "--yes", check=False)
    assert refused.status == 3 and "subscription feed brings rows in on the old side" in refused.json["error"]["why"], refused.json
    assert pair.serving() == ["source"]
    pair.old.sql("alter subscription feed disable", db="shop")
    assert pair.leat.run("cutover", "--yes").json["authority"] == "target"
    pair.new.sql(f"create subscription feed2 connection '{third.dsn('shop')}' publication feed with (copy_data = false)", db="shop")   # where it serves it stands in the way of going back
    refused = pair.leat.run("rollback", "--yes", check=False)
    assert refused.status == 3 and "subscription feed2" in refused.json["error"]["why"], refused.json


def test_a_fence_made_while_the_authority_goes(server, migration):
    """It waits for its table's lock; when it has it, the side serves no longer: the fence stands as the row says then."""
    pair = Pair(server, migration, 15, 15, extra=GATES)
    pair.prepare()
    for side in (pair.new, pair.old):   # as a table that is new has none
        name = side.one("select tgname from pg_trigger where tgname ~ '^leat_fence' and tgrelid = 'account'::regclass", db="shop")
        side.sql(f"drop trigger {name} on account", db="shop")
    fence = "select tgenabled from pg_trigger where tgname ~ '^leat_fence' and tgrelid = 'account'::regclass"
    with pair.old.conn("shop") as conn, conn.cursor() as c:
        c.execute("lock table account in share mode")
        process = subprocess.Popen(pair.leat.command("rehearse", "--yes"), cwd=pair.leat.folder, env=pair.leat.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: pair.new.sql(fence, db="shop"), 60, "the target's fence", show=pair.leat.logs)   # the source's comes next
        wait_for(lambda: pair.old.sql("select 1 from pg_stat_activity where application_name = 'leat: fence' and query ~ 'CREATE TRIGGER'", db="shop"), 30, "the source's to wait")
        attempt = pair.old.one("select attempt from leat.authority", db="shop")
        pair.new.sql("update leat.authority set attempt = %s", (attempt,), db="shop")   # as the gate does
        assert pair.old.one("select leat.decide(migration, store, epoch, attempt) from leat.authority", db="shop") is True
        conn.rollback()
    wait_for(lambda: pair.old.sql(fence, db="shop"), 60, "the source's fence", show=pair.leat.logs)
    assert pair.old.one(fence, db="shop") == "A"
    process.communicate(timeout=120)
    assert one_side(pair) == "target"


def test_a_door_that_stands_still_keeps_no_command_waiting(server, migration):
    """Its socket takes connections until its queue is full; the next one waits, for as long as it stands."""
    pair = Pair(server, migration, 15, 15, extra=GATES, doors=1)
    pair.prepare()
    door = door_pid(pair)
    os.kill(door, signal.SIGSTOP)
    with contextlib.ExitStack() as queue, contextlib.suppress(BlockingIOError):
        for _ in range(100):
            one = queue.enter_context(socket.socket(socket.AF_UNIX))
            one.setblocking(False)
            one.connect(str(pair.leat.state / "run" / "shop.door.0.sock"))
        raise AssertionError("its queue has no end")
    assert pair.leat.run("status", timeout=30)
    assert "does not answer" in pair.leat.run("rehearse", "--yes", check=False, timeout=60).err
    os.kill(door, signal.SIGCONT)
    wait_for(lambda: write_through(pair.door_dsns()[0]), 15, "the door to go on", show=pair.story)
    pair.leat.run("rehearse", "--yes")


def test_a_command_that_stood_still_while_others_went_there_and_back(server, migration):
    """It does not say of their switch that it was its own: by then the side it left serves again."""
    pair = Pair(server, migration, 15, 15, extra=GATES, doors=1)
    pair.prepare()
    process = halted(pair, "decide")
    with contextlib.closing(sqlite3.connect(pair.leat.state / "journal.db", timeout=10)) as journal, journal:
        journal.execute("update leases set held = 0 where name = 'switch:shop'")   # as if its time were over
    pair.leat.run("cutover", "--yes")
    pair.ready()
    pair.leat.run("rollback", "--yes")
    wait_for(lambda: goes_on(process), 60, "the command to end", show=pair.story)
    out, _ = process.communicate()
    assert process.returncode != 0 and "target serves" not in out and json.loads(out)["error"]["code"] != "door-left", out
    assert pair.serving() == ["source"]
    assert write_through(pair.door_dsns()[0])


def test_what_was_decided_is_carried_out_though_no_stream_is_followed(server, migration):
    """The command, the pilot and the engines gone after the decision, and no door: nobody serves until somebody opens the side."""
    pair = Pair(server, migration, 15, 15, extra=GATES)
    pair.prepare()
    process = halted(pair, "open")
    pair.leat.kill9("pilot")
    for engine in pair.leat.pids("engine"):
        os.kill(engine, signal.SIGKILL)
    process.kill()
    assert pair.serving() == []
    assert "no pilot runs" in pair.leat.run("cutover", "--yes", check=False).err
    assert pair.serving() == ["target"]


def test_an_event_trigger_that_warns_is_taken_for_no_standby(server, migration):
    """A commit whose wait for its standby was cancelled says so by a warning, and nothing else does."""
    pair = Pair(server, migration, 15, 15, extra=GATES)
    pair.start()
    pair.leat.run("rehearse", "--yes")
    for one in (pair.old, pair.new):
        one.sql("create function warn() returns event_trigger language plpgsql as $$ begin raise warning 'schema changes are seen'; end $$;"
                "create event trigger warn on ddl_command_end execute function warn()", db="shop")
    pair.ready()
    pair.leat.run("cutover", "--yes")
    assert pair.serving() == ["target"]
