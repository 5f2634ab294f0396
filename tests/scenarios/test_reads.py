"""Reads first: a share of users' read-only transactions is answered by the target, never behind what the source had when they came."""
import contextlib
import os
import signal
import socket
import threading

import psycopg2
import pytest

import servers

from door import Control
from leat import make_config
from rawpg import Raw, Refused, bind, columns, describe, execute, message, parse, query, sync
from wait import wait_for

SCHEMA = """
create type mood as enum ('sad', 'glad');
create table item (id int primary key, n int not null, note text, m mood default 'glad');
insert into item select g, 0, 'note ' || g, 'sad' from generate_series(1, 100) g;
create unlogged table scratchpad (id int primary key);
create view items as select id, n from item;
create view odd as select id, random() r from item;
create function looks() returns bigint stable language sql as 'select count(*) from item';
create function acts() returns int language plpgsql as 'begin return 1; end';
create function lies() returns int immutable language plpgsql as 'begin perform nextval(''s''); return 7; end';
create function where_am_i() returns int immutable language sql as 'select inet_server_port()';
create sequence s;
"""
GRANTS = "grant all on all tables in schema public to app, clerk; grant all on all sequences in schema public to app, clerk"


class Shop:
    """Two servers, leat following with its doors, reads at 100 % unless said otherwise."""

    def __init__(self, server, migration, source=15, target=15, doors=1, reads="{share: 100%, wait: 10s}"):
        self.old, self.new = server(source, "old"), server(target, "new")
        for s in (self.old, self.new):
            s.sql("create role leat login superuser")
        self.old.sql("create role clerk login; create role app login in role clerk")
        self.old.createdb("shop")
        self.new.createdb("shop")
        self.new.sql("create type pushes as enum ('numbers', 'apart')", db="shop")
        self.new.sql("drop type pushes", db="shop")
        self.old.sql(SCHEMA + GRANTS, db="shop")
        self.ports = [servers._free_port() for _ in range(doors)]
        text = make_config({"shop": (self.old.dsn("shop", user="leat"), self.new.dsn("shop", user="leat"))}, None, "gates:\n  rehearsals: 0\n  pause: 5s\n")
        door = f"    door: [{', '.join(f'127.0.0.1:{port}' for port in self.ports)}]\n    door_trust: [127.0.0.1/32]\n" + (f"    reads: {reads}\n" if reads else "")
        self.leat = migration(config=text.replace("    target:", door + "    target:", 1))
        self.leat.run("start", "--yes")
        for port in self.ports:
            wait_for(lambda port=port: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 30, "the door to listen", show=self.leat.logs)
        self.leat.wait_status(lambda s: s["stores"][0].get("following"), 60, "following")

    def connect(self, door=0, user="app", autocommit=True, **options):
        c = psycopg2.connect(**{"host": "127.0.0.1", "port": self.ports[door], "dbname": "shop", "user": user, **options})
        c.autocommit = autocommit
        return c

    def raw(self, door=0, **startup):
        return Raw(self.ports[door], user="app", db="shop", **startup)

    def status(self, door=0):
        control = Control(self.leat.state / "run" / f"shop.door.{door}.sock")
        try:
            return control.ask(do="status")
        finally:
            control.close()

    def reads(self, door=0):
        return self.status(door)["reads"]

    def at_target(self, c, sql="select where_am_i() from item limit 1"):
        return value(c, sql) == self.new.port

    def settle(self, c):
        """Until its reads are answered by the target: its second connection has to be made first."""
        wait_for(lambda: self.at_target(c), 20, "a read at the target", show=lambda: f"{self.reads()}\n{self.leat.logs()}")
        return c

    @contextlib.contextmanager
    def engine_stopped(self):
        """Frozen: nothing is applied any more, and nothing said."""
        pids = self.leat.pids("engine")
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


def value(c, sql, args=None):
    with c.cursor() as cur:
        cur.execute(sql, args)
        return cur.fetchone()[0] if cur.description else None



class Counts:
    """How many reads the target has answered since; statements are told apart by it, whatever they give."""

    def __init__(self, shop):
        self.shop, self.before = shop, shop.reads()

    def __call__(self, name="target"):
        return self.shop.reads()[name] - self.before[name]


def side(shop, c, sql, args=None):
    """(whether the target answered it, what it gave)"""
    count = Counts(shop)
    got = value(c, sql, args)
    return count() == 1, got


READS = [("select n from item where id = 1", 0), ("select count(*) from items", 100), ("select m from item where id = 1", "sad"), ("with x as (select 1 a) select a from x", 1),
         ("select max(id) from item where note like 'note%'", 100), ("select current_user", "app")]
NO_READS = ["select acts()", "select random() > 2", "select nextval('s') > 0", "select last_value > 0 from s", "select id from item limit 1 for update", "select count(*) from scratchpad",
            "select count(*) from odd", "select pg_backend_pid() > 0", "select count(*) > 0 from pg_class", "select 'item'::regclass::text", "select pg_try_advisory_xact_lock(1)", "show search_path",
            "select tableoid > 0 from item limit 1", "update item set n = n where id = 1 returning 1", "select 1; select 2", "explain select 1", "select set_config('a.b', 'c', true)"]


@pytest.mark.parametrize("source,target", [(15, 15), pytest.param(13, 17, marks=pytest.mark.slow)])
def test_reads_go_to_the_target_and_what_is_no_read_does_not(server, migration, source, target):
    shop = Shop(server, migration, source, target)
    c = shop.settle(shop.connect())
    for sql, expected in READS:
        assert side(shop, c, sql) == (True, expected), sql
    for sql in NO_READS:
        there, _ = side(shop, c, sql)
        assert not there, sql
        shop.settle(c)

    # what the session is, the other connection is, too
    value(c, "set search_path = nowhere, public; set datestyle = 'German'; set shop.tenant = 'x'; set timezone = 'Asia/Tokyo'")
    assert side(shop, c, "select to_char('2020-01-01 00:00+00'::timestamptz, 'HH24') || '2020-01-02'::date") == (True, "0902.01.2020")
    value(c, "set role clerk")
    assert side(shop, c, "select current_user") == (True, "clerk")
    value(c, "reset all; reset role")
    assert side(shop, c, "select '2020-01-02'::date::text") == (True, "2020-01-02")

    # transactions that only read: as one, and their end counts
    for begin in ("begin read only", "start transaction isolation level read committed, read only"):
        count = Counts(shop)
        value(c, begin)
        assert shop.at_target(c) and value(c, "select count(*) from item") == 100
        value(c, "commit")
        assert count() == 1
    value(c, "set default_transaction_read_only = on")
    value(c, "begin")
    assert shop.at_target(c)
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        value(c, "update item set n = 5 where id = 1")
    value(c, "rollback; reset default_transaction_read_only")
    for begin in ("begin", "begin isolation level serializable read only", "begin isolation level repeatable read read only"):
        value(c, begin)
        assert not shop.at_target(c), begin
        value(c, "commit")
    shop.settle(c)

    # one that begins as a read and then is none goes on at the source
    value(c, "begin read only")
    assert shop.at_target(c)
    assert value(c, "select acts()") == 1 and not shop.at_target(c)
    value(c, "set local work_mem = '7MB'")
    value(c, "commit")
    shop.settle(c)
    value(c, "begin read only")
    with pytest.raises(psycopg2.errors.DivisionByZero):
        value(c, "select 1 / (n - n) from item limit 1")
    with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
        value(c, "select 1")
    value(c, "rollback")
    shop.settle(c)

    # it said that it only reads, and writes: refused there, and carried out at the source as if nothing had been
    count = Counts(shop)
    assert value(c, "select lies()") == 7 and count("replayed") == 1 and count() == 0
    assert value(c, "select lies()") == 7 and count("replayed") == 1   # it is known now
    shop.settle(c)

    # what must stay
    for sql, undo in (("set default_transaction_isolation = serializable", "reset default_transaction_isolation"), ("create temp table mine (id int)", "discard all"),
                      ("listen news", "unlisten *"), ("select pg_advisory_lock(5)", "select pg_advisory_unlock(5)"), ("begin; declare held cursor with hold for select 1; commit", "close held")):
        value(c, sql)
        assert side(shop, c, "select count(*) from item") == (False, 100), sql
        value(c, undo)
        shop.settle(c)


def test_prepared_statements_and_the_extended_protocol(server, migration):
    shop = Shop(server, migration, 13, 17)
    shop.settle(shop.connect())
    with shop.raw() as r:
        def there(*messages):
            count = Counts(shop)
            rows = r.rows(*messages)
            return count() == 1, rows
        wait_for(lambda: there(query("select 1"))[0], 20, "a read at the target")
        assert there(parse("", "select n + $1 from item where id = 2", (23,)), bind("", [b"5"]), execute(), sync()) == (True, [[b"5"]])
        assert there(bind("", [b"6"]), execute(), sync()) == (True, [[b"6"]])          # the unnamed one of before
        assert there(parse("", "update item set n = n where id = $1 returning n", (23,)), bind("", [b"1"]), execute(), sync())[0] is False
        assert there(parse("", "select 9"), sync())[0] is False                         # prepared alone: at the source
        assert there(bind(""), execute(), sync()) == (True, [[b"9"]])
        with pytest.raises(Refused, match="42703"):                                     # it destroyed the one of before, or was skipped: the source knows
            r.send(parse("", "select nonsense from item"), sync())
        with pytest.raises(Refused, match="26000"):
            r.send(bind(""), execute(), sync())
        # its unnamed statement is on the target alone, and what uses it goes to the source
        assert there(parse("", "select id from item order by id limit 3"), bind(""), execute(), sync())[0] is True
        portal = message(b"B", b"\0\0" + bytes(6)) + message(b"E", b"\0\0\0\0\2") + sync()
        assert there(portal) == (False, [[b"1"], [b"2"]])
        # by name
        r.send(parse("p", "select m from item where id = $1", (23,)), describe("p"), sync())
        assert there(bind("p", [b"3"]), execute(), sync()) == (True, [[b"sad"]])
        assert there(bind("p", [(4).to_bytes(4, "big")], [1], [1]), execute(), sync()) == (True, [[b"sad"]])
        r.send(parse("w", "update item set n = n + 1 where id = $1 returning n", (23,)), sync())
        assert there(bind("w", [b"9"]), execute(), sync()) == (False, [[b"1"]])
        wait_for(lambda: there(bind("p", [b"9"]), execute(), sync()) == (True, [[b"sad"]]), 10, "a read at the target again: after a write the session is asked anew what it is")
        # all in one, and behind each other without waiting
        assert there(parse("", "begin read only"), bind(""), execute(), parse("", "select n from item where id = 9"), bind(""), execute(), parse("", "commit"), bind(""), execute(), sync()) == (True, [[b"1"]])
        r.sock.sendall(query("select n from item where id = 9") + query("update item set n = n + 1 where id = 9") + query("select n from item where id = 9"))
        assert [[columns(b) for k, b in r.ready() if k == b"D"] for _ in range(3)] == [[[b"1"]], [], [[b"2"]]]
        # numbers of types are the source's, whoever answers
        number = shop.old.one("select 'mood'::regtype::oid", db="shop")
        assert number != shop.new.one("select 'mood'::regtype::oid", db="shop")
        described = [b for k, b in r.send(parse("", "select m from item where id = 1"), describe(""), bind(""), message(b"D", b"P\0"), execute(), sync()) if k == b"T"]
        assert all(number.to_bytes(4, "big") in b for b in described) and len(described) == 2
        with pytest.raises(Refused):
            r.send(parse("", "select 1/0"), bind(""), execute(), sync())
        assert r.rows(query("select 1")) == [[b"1"]]


def test_the_unnamed_statement_is_what_the_client_made_it_last(server, migration):
    """Made, or destroyed, on the target alone: what stood at the source before must not be carried out in its place, whatever has become of reads since."""
    shop = Shop(server, migration)
    shop.settle(shop.connect())
    write = parse("", "insert into item (id, n) select max(id) + 1, 7 from item"), bind(""), execute(), sync()
    bound = bind(""), execute(), sync()

    def there(r, *messages):
        count = Counts(shop)
        rows = r.rows(*messages)
        return count() == 1 and rows

    def written():
        return shop.old.one("select count(*) from item where n = 7", db="shop")

    def after_a_write(r, *messages):
        """What the target answered to them, right after a write by the unnamed statement at the source."""
        def once():
            r.send(*write)
            return there(r, *messages)
        return wait_for(once, 20, "a read at the target behind a write", show=shop.leat.logs)
    with shop.raw() as r, shop.raw() as q, shop.raw() as t:
        for c in (r, q, t):
            wait_for(lambda c=c: there(c, query("select 1")), 20, "a read at the target")
        # in a transaction that goes to the source
        where = "select where_am_i() from item limit 1"
        assert t.sql("begin read only") == [] and t.sql(where) == [[str(shop.new.port)]]
        assert t.rows(parse("", "select id from item order by id limit 3"), *bound) == [[b"1"], [b"2"], [b"3"]]
        assert t.rows(message(b"B", b"\0\0" + bytes(6)) + message(b"E", b"\0\0\0\0\2") + sync()) == [[b"1"], [b"2"]]
        assert t.rows(*bound) == [[b"1"], [b"2"], [b"3"]]
        assert t.sql(where) == [[str(shop.old.port)]] and t.sql("commit") == []
        # the source has an INSERT
        assert after_a_write(r, parse("", "select count(*) from items where n = 0"), *bound) == [[b"100"]]
        assert after_a_write(q, query("select count(*) from items where n = 0")) == [[b"100"]]
        with pytest.raises(Refused, match="26000"):
            q.send(*bound)
        assert after_a_write(q, query("select count(*) from items where n = 0")) == [[b"100"]]
        before = written()
        shop.new.stop()
        wait_for(lambda: shop.reads()["trouble"], 20, "reads to stay at the source")
        assert r.rows(*bound) == [[b"100"]]
        with pytest.raises(Refused, match="26000"):
            q.send(*bound)
        assert written() == before


def test_never_behind_what_a_role_saw(server, migration):
    """Written and read by one role through two doors, in a tight loop; and while nothing is applied it is answered by the source, in time."""
    shop = Shop(server, migration, doors=2, reads="{share: 100%, wait: 300ms}")
    writers, readers = [[shop.settle(shop.connect(door)) for door in (0, 1)] for _ in range(2)]
    missed = []

    def loop(id):
        for i in range(1, 60):
            value(writers[id], "update item set n = %s where id = %s", (i, id + 1))
            for c in (readers[1 - id], readers[id], writers[id]):
                seen = value(c, f"select n from item where id = {id + 1}")
                if seen != i:
                    missed.append((id, i, seen))
    thread = threading.Thread(target=loop, args=(0,))
    thread.start()
    thread.join(120)
    assert not thread.is_alive()
    loop(1)
    assert not missed, missed[:5]
    assert shop.reads(0)["target"] > 60 and shop.reads(1)["target"] > 60, (shop.reads(0), shop.reads(1))
    # an update that does not wait for the disk, too
    value(writers[0], "set synchronous_commit = off; update item set n = -1 where id = 1")
    assert value(readers[1], "select n from item where id = 1") == -1
    with shop.engine_stopped():
        count = Counts(shop)
        for i in range(100, 103):
            value(writers[0], "update item set n = %s where id = 1", (i,))
            assert value(readers[0], "select n from item where id = 1") == i
        assert count("late") == 3 and count() == 0
    shop.settle(readers[0])
    assert value(readers[0], "select n from item where id = 1") == 102


def test_the_share(server, migration):
    """None, half and all of those who come, each the same at every door; said without starting a door again, and counted."""
    shop = Shop(server, migration, doors=2, reads="{share: [0%, 50%, 100%], users: [clerk], applications: [nightly]}")
    names = [f"app{i}" for i in range(40)]

    def of_share(door, **options):
        with contextlib.closing(shop.connect(door, **options)) as c:
            value(c, "select 1")   # by then it was counted, or is none of them
            before = shop.reads(door)["sessions"]
        wait_for(lambda: shop.reads(door)["sessions"] < before or before == 0, 10, "it to go")
        return before
    assert [shop.reads(d)["sessions"] for d in (0, 1)] == [0, 0] and of_share(0, user="clerk") == 0
    kept = shop.connect()
    shop.leat.run("shift", "shop", "50%")
    half = [[name for name in names if of_share(door, application_name=name, user="app") > shop.reads(door)["sessions"]] for door in (0, 1)]
    assert 8 <= len(half[0]) <= 32 and half[0] == half[1], half
    assert of_share(1, user="clerk") and of_share(1, application_name="nightly")
    shop.leat.run("shift", "shop", "100%")
    shop.settle(kept)   # one that was there before
    text = shop.leat.run("status", output="text").out
    assert "reads of 100% of its users" in text, text
    assert shop.leat.status("shop")["doors"][0]["reads"]["target"] > 0
    shop.leat.run("shift", "shop", "0%")
    assert side(shop, kept, "select count(*) from item") == (False, 100) and shop.reads()["sessions"] == 0
    wait_for(lambda: shop.new.one("select count(*) from pg_stat_activity where usename = 'app'") == 0, 10, "the second connections to end")
    for wrong in ("x%", "101%"):
        shop.leat.run("shift", "shop", wrong, check=64)
    assert "shifted" in shop.leat.run("events", output="text").out


def test_a_switch_under_reads(server, migration):
    """There and back under readers and writers at every door: no error, and nobody misses what he wrote."""
    shop = Shop(server, migration, 13, 17, doors=2)
    stop, errors, done = threading.Event(), [], [0] * 4

    def work(i):
        try:
            c = shop.connect(i % 2, application_name=f"work{i}")
            while not stop.is_set():
                done[i] += 1
                value(c, f"update item set n = {done[i]} where id = {i + 1}")
                assert value(c, f"select n from item where id = {i + 1}") == done[i]
                value(c, "begin read only")
                assert value(c, f"select n from item where id = {i + 1}") == done[i]
                value(c, "commit")
        except Exception as e:   # whatever it is, it was not to be
            errors.append(f"{i}: {e!r}")
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    try:
        wait_for(lambda: shop.reads(0)["target"] > 20 or errors, 60, "reads at the target", show=shop.leat.logs)
        shop.leat.run("rehearse", "--yes")
        target = shop.reads(0)["target"]
        wait_for(lambda: shop.reads(0)["target"] > target or errors, 60, "reads to go on after the rehearsal", show=shop.leat.logs)
        wait_for(lambda: shop.leat.run("verify", check=False).status == 0, 60, "a comparison")
        r = shop.leat.run("cutover", "--yes").json
        assert r["authority"] == "target" and r["failed"] == 0, r
        wait_for(lambda: shop.reads(0)["share"] == 0, 10, "no share after the switch")
        before = sum(done)
        wait_for(lambda: sum(done) > before + 50 or errors, 60, "work on the new side")
        assert shop.leat.run("shift", "shop", "10%", check=False).status == 3
        r = shop.leat.run("rollback", "--yes").json
        assert r["authority"] == "source" and r["failed"] == 0, r
        before = sum(done)
        wait_for(lambda: sum(done) > before + 50 or errors, 60, "work on the old side")
        wait_for(lambda: shop.reads(0)["share"] == 0, 10, "the share, until it is said anew")
    finally:
        stop.set()
        for t in threads:
            t.join(60)
    assert not errors, errors


def test_the_target_goes_while_it_answers(server, migration):
    """What it has not answered yet the source does; clients keep their sessions."""
    shop = Shop(server, migration, reads="{share: 100%, wait: 200ms}")
    c, d = shop.settle(shop.connect()), shop.settle(shop.connect())
    value(d, "begin read only")
    assert shop.at_target(d)
    shop.new.stop("immediate")
    for _ in range(3):
        assert value(c, "select count(*) from item") == 100
    assert value(d, "select count(*) from item") == 100 and not shop.at_target(d)   # its transaction goes on at the source
    value(d, "commit")
    shop.new.start()
    value(c, "update item set n = 77 where id = 1")
    assert value(d, "select n from item where id = 1") == 77
    wait_for(lambda: shop.at_target(c), 60, "reads at the target again", show=lambda: f"{shop.reads()}\n{shop.leat.logs()}")
    assert value(c, "select n from item where id = 1") == 77


def test_a_share_where_the_target_was_denied(server, migration):
    """No share stands in the file: after a rollback nobody is let in on the target. Who says one lets them in there again, and so it stays while that counts."""
    shop = Shop(server, migration, reads=None)
    c = shop.connect()
    wait_for(lambda: shop.leat.run("rehearse", "--yes", check=False).status == 0, 60, "a rehearsal", show=shop.leat.logs)
    shop.leat.wait_status(lambda s: s["stores"][0]["way_back"]["following"], 60, "the way back to be followed")
    for command in ("cutover", "rollback"):
        last = {}
        wait_for(lambda: shop.leat.run("verify", check=False).status == 0 and last.update(a=shop.leat.run(command, "--yes", check=False)) is None and last["a"].status == 0,
                 90, command, show=lambda: f"{last} {shop.leat.logs()}")   # noqa: B023
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        shop.new.conn("shop", user="app").close()
    wait_for(lambda: shop.leat.run("shift", "shop", "100%", check=False).status == 0, 10, "the doors to say that the source serves")
    shop.settle(c)
    shop.leat.run("rollback", "--yes", check=False)   # again: it denies where that was left undone
    with shop.new.conn("shop", user="app"), contextlib.closing(shop.connect()) as another:
        shop.settle(another)
