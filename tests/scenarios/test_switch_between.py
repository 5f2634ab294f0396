"""What comes between the gate and the lock, while doors are made ready: the switch goes back, and nothing is left on the old side alone."""
import contextlib
import json
import subprocess

import psycopg2

from test_switch import Pair
from test_switch_faults import one_side
from test_switch_rights import GATES, ended, halted
from wait import wait_for

# what is done on the old side, what takes it back, what is said
CARRIED_BY_NO_STREAM = [
    ("select lo_create(4712)", "select lo_unlink(4712)", "large object"),
    ("insert into loose values (1)", "truncate loose", "unlogged table"),
]


def refused(process):
    out, err = ended(process)
    assert process.returncode != 0, out
    return out + err


def test_what_no_stream_carries(server, migration):
    """And where the gate refuses, the connections made ready for the hold are given back."""
    pair = Pair(server, migration, 15, 15, extra=GATES, doors=1)
    pair.old.sql("create unlogged table loose (id int primary key)", db="shop")
    pair.prepare()
    door = pair.leat.state / "run" / "shop.door.0.json"
    with contextlib.closing(psycopg2.connect(pair.door_dsns()[0])) as client:
        for act, back, said in CARRIED_BY_NO_STREAM:
            process = halted(pair, "hold")
            pair.old.sql(act, db="shop")
            assert said in refused(process)
            assert pair.serving() == ["source"]
            wait_for(lambda: json.loads(door.read_text())["warm"] == 0, 10, "the connections of the gate to be given back")
            pair.old.sql(back, db="shop")
        client.cursor().execute("select 1")
        client.rollback()
        assert pair.leat.run("cutover", "--yes").json["moved"] == 1


def test_a_sequence_that_moves_on(server, migration):
    """No lock stops nextval; and one that was never used has no margin yet."""
    pair = Pair(server, migration, 15, 15, extra=GATES)
    pair.old.sql("create sequence unused", db="shop")
    pair.prepare()
    process = halted(pair, "prepare")
    taken = pair.old.one("select max(nextval('unused')) from generate_series(1, 5000)", db="shop")
    ended(process)
    assert pair.serving() == ["target"]
    assert pair.new.one("select nextval('unused')", db="shop") > taken


def test_a_table_that_is_copied_again(server, migration):
    """Its changes are in the spool: every mark comes round, and the new side lacks them."""
    pair = Pair(server, migration, 15, 15, extra=GATES)
    pair.prepare()
    process = halted(pair, "check")
    pair.new.sql("update leat.copy set joined = null where table_name like '%entry%'", db="shop")   # as it stands for as long as the copy takes
    assert "still being copied" in refused(process)
    assert pair.serving() == ["source"]
    assert "still being copied" in pair.leat.run("cutover", "--yes", check=3).json["error"]["why"]   # and at the gate


def test_a_table_that_is_being_made(server, migration):
    """Neither lock nor fence can meet what nobody sees yet."""
    pair = Pair(server, migration, 15, 15, extra=GATES)
    pair.prepare()
    with contextlib.closing(pair.old.conn("shop")) as conn, conn.cursor() as c:
        process = halted(pair, "hold")
        c.execute("create table made as select * from account")
        said = refused(process)
        assert "is making a table" in said or "has a transaction open" in said, said
        conn.commit()
    assert pair.serving() == ["source"]


def test_what_a_prepared_transaction_leaves(server, migration):
    """Who made it has no session any more, and all the same it comes to be on the old side alone when it is ended."""
    pair = Pair(server, migration, 15, 15, extra=GATES, settings={"max_prepared_transactions": 10})
    pair.prepare()
    for act, said in (("create table made as select * from account", "a prepared transaction is making a table"),
                      ("select lo_from_bytea(4711, 'x')", "a prepared transaction has written a large object")):
        process = halted(pair, "hold")
        pair.old.sql(f"begin; {act}; prepare transaction 'two'", db="shop")
        refused(process)
        assert said in pair.leat.run("events").out and pair.serving() == ["source"]
        pair.old.sql("rollback prepared 'two'", db="shop")


def test_large_objects_that_are_being_written(server, migration):
    """In a transaction that goes on, or is only read in one: neither waits for a lock of a switch."""
    pair = Pair(server, migration, 15, 15, extra=GATES)
    pair.old.sql("select lo_from_bytea(4711, 'x')", db="shop")
    pair.new.sql("select lo_from_bytea(4711, 'x')", db="shop")
    pair.prepare()
    with contextlib.closing(pair.old.conn("shop")) as conn, conn.cursor() as c:
        process = halted(pair, "hold")
        c.execute("select lo_put(4711, 0, 'y')")
        said = refused(process)
        assert "has written a large object" in said or "has a transaction open" in said, said
        conn.rollback()
        pair.ready()
        process = halted(pair, "hold")
        c.execute("select lo_get(4711)")
        ended(process)
    assert pair.serving() == ["target"]


def test_a_table_that_is_copied_again_behind_the_decision(server, migration):
    """Whoever opens the new side waits until it is there: what is emptied, or copied in part, is served to nobody."""
    pair = Pair(server, migration, 15, 15, extra=GATES, doors=1)
    pair.prepare()
    process = halted(pair, "open")
    joined = pair.new.one("select joined from leat.copy where table_name = 'public.entry'", db="shop")
    pair.new.sql("update leat.copy set joined = null where table_name = 'public.entry'", db="shop")   # as `leat resume --copy-again` leaves it
    process.kill()   # the door opens by itself, and so does the engine
    door = pair.leat.state / "run" / "shop.door.0.json"
    wait_for(lambda: "still being copied" in json.loads(door.read_text()).get("settling", {}).get("trouble", ""), 30, "the door to say why nobody serves", show=pair.story)
    assert pair.serving() == []
    pair.new.sql("update leat.copy set joined = %s where table_name = 'public.entry'", (joined,), db="shop")
    assert one_side(pair) == "target"


class OfTen(Pair):
    schema = Pair.schema.split("create table part")[0]   # it has no keys of partitioned tables


def test_a_truncate_that_ten_does_not_send(server, migration):
    pair = OfTen(server, migration, 10, 15, extra=GATES)
    pair.old.sql("insert into entry select 1, g, 1, 1 from generate_series(1, 100) g", db="shop")
    pair.prepare()
    process = halted(pair, "hold")
    pair.old.sql("truncate entry", db="shop")
    ended(process)   # it goes through once the table has been copied again, or is refused meanwhile
    if pair.serving() == ["source"]:
        wait_for(lambda: pair.new.one("select count(*) from entry", db="shop") == 0, 30, "the table to be copied again", show=pair.leat.logs)
    assert len(pair.serving()) == 1 and pair.new.one("select count(*) from entry", db="shop") == 0
    if pair.serving() == ["source"]:
        pair.ready()
        pair.leat.run("cutover", "--yes")
    pair.new.sql("update account set balance = 7 where id = 1", db="shop")
    pair.leat.run("rollback", "--yes")   # the way back writes to a server as old as that
    assert pair.serving() == ["source"] and pair.old.one("select balance from account where id = 1", db="shop") == 7


def test_maintenance_on_either_side(server, migration):
    """A VACUUM is waited for while nobody is held, and named; the same command goes on when it is over."""
    pair = OfTen(server, migration, 10, 15, extra=GATES, doors=1)
    pair.prepare()
    with contextlib.closing(psycopg2.connect(pair.door_dsns()[0])) as client:
        client.autocommit = True
        for side, name in ((pair.old, "source"), (pair.new, "target")):
            with contextlib.closing(side.conn("shop")) as conn, conn.cursor() as c:
                c.execute("begin; lock table entry in share update exclusive mode")   # as VACUUM, ANALYZE and CREATE INDEX CONCURRENTLY have it
                process = subprocess.Popen(pair.leat.command("rehearse", "--yes", output="text"), cwd=pair.leat.folder, env=pair.leat.env, stdin=subprocess.DEVNULL,
                                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                said = next((line for line in process.stdout if "trying again" in line), "")
                assert f"of the {name}" in said and "ShareUpdateExclusiveLock on" in said and "entry" in said, said
                client.cursor().execute("insert into entry values (1, (select count(*) from entry), 1, 1)")
                conn.rollback()
            assert process.wait(60) == 0, process.stdout.read()
    assert pair.leat.run("cutover", "--yes").json["tries"] == 1
