"""After a switch the side that serves is nobody's to empty; and what a switch must not do to sequences, writers and clients beside it.

Each of these was seen to lose rows, or to hurt clients, in a review of the first switch.
"""
import contextlib
import json
import os
import signal
import subprocess
import threading

import psycopg2

from test_switch import Pair
from wait import wait_for

GATES = "gates:\n  rehearsals: 0\n  pause: 5s\n"
NOTE = "create table note (id int primary key, x text); grant all on note to app"


def count(server, table="note"):
    return server.one(f"select count(*) from {table}", db="shop")


def exists(server, table):
    return server.one(f"select to_regclass('{table}') is not null", db="shop")


def switched(server, migration, apply=False, **kwargs):
    """The target serves."""
    pair = Pair(server, migration, 15, 15, extra=GATES, **kwargs)
    if apply:
        pair.leat.write(pair.leat.config.read_text().replace("    engine: postgresql\n", "    engine: postgresql\n    ddl: apply\n"))
    pair.start()
    pair.leat.run("rehearse", "--yes")
    pair.ready()
    pair.leat.run("cutover", "--yes")
    return pair


def test_a_table_made_by_hand_on_both_sides(server, migration):
    pair = switched(server, migration)
    pair.new.sql(NOTE, db="shop")
    pair.new.sql("insert into note select g, 'acknowledged' from generate_series(1, 1000) g", db="shop")
    back = pair.leat.state / "run" / "shop+back.json"
    wait_for(lambda: "create table note" in json.loads(back.read_text())["ddl_pending"], 60, "the way back to ask for the table", show=pair.leat.logs)
    pair.old.sql(NOTE, db="shop")
    pair.leat.run("resume", "shop", "--yes")
    wait_for(lambda: count(pair.old) == 1000, 60, "the rows on the other side", show=pair.leat.logs)
    assert count(pair.new) == 1000
    pair.ready()
    pair.leat.run("rollback", "--yes")
    assert count(pair.old) == 1000


def test_a_table_made_while_it_is_written_to(server, migration):
    """`ddl: apply`: the way back makes and copies it, and nobody empties it, whichever engine starts anew."""
    pair = switched(server, migration, apply=True)
    pair.new.sql(NOTE, db="shop")
    n, stop = [0], threading.Event()

    def write():
        with contextlib.closing(pair.new.conn("shop", user="app", autocommit=True)) as conn, conn.cursor() as c:   # a transaction each
            while not stop.is_set():
                c.execute("insert into note values (%s, 'acknowledged')", (n[0] + 1,))
                n[0] += 1
                stop.wait(0.005)
    thread = threading.Thread(target=write)
    thread.start()
    try:
        wait_for(lambda: exists(pair.old, "note") and count(pair.old) > 100, 90, "the way back to carry it", show=pair.leat.logs)
        pair.leat.run("stop")
        pair.leat.run("start", "--yes")
        pair.ready()
        before = count(pair.old)
        wait_for(lambda: count(pair.old) > before + 50, 60, "the way back to go on", show=pair.leat.logs)
    finally:
        stop.set()
        thread.join()
    pair.leat.run("rollback", "--yes")
    assert count(pair.old) == n[0] and count(pair.new) == n[0]


def test_nothing_is_copied_again_while_the_target_serves(server, migration):
    pair = switched(server, migration)
    assert pair.leat.run("resume", "shop", "--copy-again", "entry,account", "--yes", check=1).json["error"]["code"] == "authority"
    assert count(pair.new, "account") == 50
    pair.leat.run("resume", "shop", "--arm-again", "--yes")   # the slot is made anew, and nothing is copied
    pair.ready()
    assert count(pair.new, "account") == 50


def test_a_mark_counts_by_its_number(server, migration):
    """A clock that was ahead once: the marks of now are smaller, and no older one may stand for them."""
    pair = Pair(server, migration, 15, 15, extra=GATES)
    pair.start()
    pair.leat.run("rehearse", "--yes")
    pair.ready()
    for s in (pair.old, pair.new):
        s.sql("update leat.round set mark = mark + 86400000000", db="shop")
    engine = pair.leat_pid("shop")
    os.kill(engine, signal.SIGSTOP)
    try:
        pair.old.sql("update account set balance = 100 where id = 1", db="shop", user="app")
        assert pair.leat.run("cutover", "--yes", check=3).json["error"]["code"] == "gate"
        assert pair.serving() == ["source"]
    finally:
        os.kill(engine, signal.SIGCONT)


def test_a_sequence_near_its_end(server, migration):
    pair = Pair(server, migration, 15, 15, extra=GATES)
    pair.old.sql("create sequence number maxvalue 999; select setval('number', 10); create sequence down increment -1 minvalue -20 maxvalue -1; select nextval('down');"
                 "create sequence round maxvalue 5 cycle; select setval('round', 4); create sequence told; select setval('told', 5000, false); create sequence unused; grant all on all sequences in schema public to app", db="shop")
    pair.start()
    pair.leat.run("rehearse", "--yes")
    pair.ready()
    pair.leat.run("cutover", "--yes")
    assert 11 <= pair.new.one("select nextval('number')", db="shop") < 999
    assert -20 < pair.new.one("select nextval('down')", db="shop") <= -2
    assert pair.new.one("select nextval('round')", db="shop") == 5
    assert pair.new.one("select nextval('told')", db="shop") >= 5000   # set, and never used since


def test_a_writer_that_takes_tables_in_another_order(server, migration):
    """It holds one table and comes for another that the switch has locked: the switch gives way, not the writer."""
    pair = Pair(server, migration, 15, 15, extra=GATES)
    pair.start()
    pair.leat.run("rehearse", "--yes")
    with pair.old.conn("shop", user="app") as conn, conn.cursor() as c:
        c.execute("update entry set amount = 0")
        job = pair.leat.start_run("rehearse", "--yes")
        wait_for(lambda: pair.old.sql("select 1 from pg_locks where not granted and mode = 'ShareRowExclusiveLock'", db="shop"), 30, "the switch to wait", show=pair.leat.logs)
        c.execute("update account set balance = balance where id = 1")
        conn.commit()
    assert job.wait(60).json["ok"]


def test_a_session_that_cannot_move_is_named_before_anybody_waits(server, migration):
    pair = Pair(server, migration, 15, 15, extra="gates:\n  rehearsals: 0\n  pause: 250ms\n", doors=1)
    pair.start()
    pair.leat.run("rehearse", "--yes", check=False)
    fixed, other = (psycopg2.connect(pair.door_dsns()[0]) for _ in range(2))
    for one in (fixed, other):
        one.autocommit = True
    fixed.cursor().execute("create temp table mine (id int)")
    r = pair.leat.run("rehearse", "--yes", check=3).json
    assert r["error"]["code"] == "gate" and "temp" in r["error"]["why"], r
    status = json.loads((pair.leat.state / "run" / "shop.door.0.json").read_text())
    assert status["held"] == 0
    fixed.cursor().execute("drop table mine; discard temp")
    other.close()
    fixed.close()
