"""The switch on real servers: authority there and back under load, nothing lost or doubled, nobody serves on two sides."""
import json
import pathlib
import socket

import psycopg2
import pytest

import servers

from clients import SCHEMA, Clients
from compare import compare
from follow import LEAT_TABLES
from leat import make_config
from wait import wait_for




class Pair:
    """Two servers, leat with a role of its own, an application with another."""
    schema = SCHEMA

    def __init__(self, server, migration, source=13, target=17, extra="gates:\n  rehearsals: 1\n  pause: 2s\n", doors=0, settings=None):
        self.old, self.new = server(source, "old", settings), server(target, "new", settings)
        for s in (self.old, self.new):
            s.sql("create role leat login superuser")
        self.old.sql("create role app login")
        self.old.createdb("shop")
        self.new.createdb("shop")
        self.old.sql(self.schema + "grant all on all tables in schema public to app; grant all on all sequences in schema public to app", db="shop")
        self.doors = [servers._free_port() for _ in range(doors)]
        self.leat = migration(config=self.config(extra))
        self.direct = [self.old.dsn("shop", user="app"), self.new.dsn("shop", user="app")]

    def config(self, extra):
        text = make_config({"shop": (self.old.dsn("shop", user="leat"), self.new.dsn("shop", user="leat"))}, None, extra)
        if not self.doors:
            return text
        door = f"    door: [{', '.join(f'127.0.0.1:{port}' for port in self.doors)}]\n    door_trust: [127.0.0.1/32]\n"
        return text.replace("    target:", door + "    target:", 1)

    def door_dsns(self):
        return [f"postgresql://app@127.0.0.1:{port}/shop" for port in self.doors]

    def start(self):
        self.leat.run("start", "--yes")
        for port in self.doors:
            wait_for(lambda port=port: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 30, "the door to listen", show=self.leat.logs)
        self.leat.wait_status(lambda s: s["stores"][0].get("following"), 60, "following")

    def leat_pid(self, name):
        return next(p for p in self.leat.pids("engine") if f"engine\0{name}\0" in open(f"/proc/{p}/cmdline", encoding="utf-8").read())

    def followed(self):
        """Both streams, by engines that run."""
        state = [json.loads(path.read_text()) for path in (self.leat.state / "run").glob("shop*.json") if "door" not in path.name]
        return len(state) == 2 and all(s["following"] and pathlib.Path(f"/proc/{s['pid']}").exists() for s in state)

    def prepare(self):
        """Followed, armed by a rehearsal, and compared: all that a switch asks for."""
        self.start()
        self.leat.run("rehearse", "--yes")
        self.ready()

    def ready(self):
        """Both streams are followed, and all is compared."""
        wait_for(self.followed, 60, "both streams to be followed", show=self.leat.logs)
        if self.serving() == ["source"]:
            self.leat.run("verify")

    def story(self):
        """For messages: the ends of the logs, and what each door says of itself."""
        return self.leat.logs() + "".join(f"\n--- {path.name}\n{path.read_text()}" for path in sorted((self.leat.state / "run").glob("*.door.*.json")))

    def side(self, name):
        return self.old if name == "source" else self.new

    def equal(self):
        """Waits until what one side has is on the other."""
        wait_for(lambda: not compare(self.old.dsn("shop"), self.new.dsn("shop"), sequences=None, skip=LEAT_TABLES), 30, "both sides to be equal", show=self.leat.logs)

    def serving(self):
        """The sides that take a write: of a superuser, who is kept out by nothing but the fence."""
        found = []
        for name in ("source", "target"):
            try:
                with self.side(name).conn("shop") as conn, conn.cursor() as c:
                    c.execute("update account set balance = balance where id = 1")
                    conn.rollback()
                found.append(name)
            except Exception as e:
                assert "takes no writes on this side" in str(e), e
        return found


@pytest.mark.parametrize("source,target", [(13, 17), pytest.param(15, 15, marks=pytest.mark.slow)])
def test_there_and_back_under_load(server, migration, source, target):
    pair = Pair(server, migration, source, target)
    pair.start()
    with Clients(pair.direct) as clients:
        r = pair.leat.run("rehearse", "--yes", "--times", "3").json
        assert [x["ok"] for x in r["runs"]] == [True] * 3 and r["authority"] == "source", r
        assert pair.serving() == ["source"]
        assert pair.leat.run("verify").json["ok"]
        for turn in range(4):
            command, serves = ("cutover", "target") if turn % 2 == 0 else ("rollback", "source")
            before = clients.total()
            if turn == 2:
                assert pair.leat.run("cutover", "--yes", check=3).json["error"]["why"].count("verify")   # what was compared was of before
            if command == "cutover":
                assert pair.leat.run("verify").json["ok"]
            r = pair.leat.run(command, "--yes").json
            assert r["authority"] == serves and r["decided"] and r["epoch"] == turn + 1, r
            assert pair.serving() == [serves]
            wait_for(lambda: clients.total() > before + 200, 60, "writes on the new side", show=pair.leat.logs)
    assert not clients.errors, clients.errors
    assert clients.refused > 0
    with pair.old.conn("shop") as conn:
        assert clients.check(conn) == []
    pair.equal()
    with pair.new.conn("shop") as conn:
        assert clients.check(conn) == []


@pytest.mark.parametrize("source,target,doors", [pytest.param(13, 17, 1, marks=pytest.mark.slow), (15, 15, 2)])
def test_through_doors(server, migration, source, target, doors):
    """No client sees an error, whatever side it writes on; and a session is the same after each move."""
    pair = Pair(server, migration, source, target, doors=doors)
    pair.start()
    session = psycopg2.connect(pair.door_dsns()[0])
    session.autocommit = True
    with session.cursor() as c:
        c.execute("set application_name = 'kept'; set work_mem = '7MB'; prepare q(int) as select balance from account where id = $1; listen news")
    with Clients([pair.door_dsns()[i % doors] for i in range(doors)]) as clients:
        pair.leat.run("rehearse", "--yes", "--times", "3")
        assert pair.leat.run("verify").json["ok"]
        for turn in range(4):
            command, serves = ("cutover", "target") if turn % 2 == 0 else ("rollback", "source")
            before = clients.total()
            assert pair.leat.run("verify").json["ok"]   # of the way back, too
            r = pair.leat.run(command, "--yes").json
            assert r["authority"] == serves and r["failed"] == 0 and r["moved"] >= 5, r
            wait_for(lambda: clients.total() > before + 200, 60, "writes on the new side", show=pair.leat.logs)
            with session.cursor() as c:
                c.execute("select current_setting('application_name'), current_setting('work_mem'), inet_server_port()")
                assert c.fetchone() == ("kept", "7MB", pair.side(serves).port)
                c.execute("execute q(1)")
                c.execute("notify news")
            session.poll()
            assert len(session.notifies) == turn + 1
    session.close()
    assert clients.errors == [] and clients.refused == 0
    with pair.old.conn("shop") as conn:
        assert clients.check(conn) == []
    pair.equal()


def test_status_says_who_serves_and_shows_the_way_back(server, migration):
    pair = Pair(server, migration, 15, 15, extra="gates:\n  rehearsals: 0\n  pause: 5s\n", doors=1)
    pair.start()
    store = pair.leat.status("shop")
    assert store["way_back"] is None and store["authority"] == "source", store
    pair.leat.run("rehearse", "--yes")
    pair.ready()
    client = psycopg2.connect(pair.door_dsns()[0], application_name="stays")
    client.autocommit = True
    client.cursor().execute("create temp table mine (id int)")
    pair.leat.run("rehearse", "--yes", check=False)   # its sessions are looked at
    store = pair.leat.wait_status(lambda s: s["stores"][0]["sessions"]["unmovable"] == 1, 30, "the session that cannot move")["stores"][0]
    door, back = store["doors"][0], store["way_back"]
    assert (door["address"], door["running"], door["clients"], door["side"]) == (f"127.0.0.1:{pair.doors[0]}", True, 1, "source"), door
    assert (back["running"], back["following"], back["ledger"], back["fault"], back["ddl_pending"]) == (True, True, 0, None, ""), back
    assert back["lag_seconds"] is not None and back["lag_bytes"] is not None
    text = pair.leat.run("status", output="text").out
    assert "shop: the source serves (epoch 0)" in text and "stays (app@127.0.0.1" in text and "the way back stands ready" in text, text
    client.close()
    wait_for(lambda: pair.leat.run("cutover", "--yes", check=False).status == 0, 60, "the cutover", show=pair.leat.logs)
    wait_for(lambda: "shop: the target serves (epoch 1)\n  the way back is followed" in pair.leat.run("status", output="text").out, 30, "status to say so")
    pair.new.sql("create table note (id int primary key)", db="shop")
    said = pair.leat.wait_status(lambda s: s["stores"][0]["way_back"]["ddl_pending"], 60, "the way back to name the table")["stores"][0]["way_back"]["ddl_pending"]
    assert "on the source" in said and "on the target, then" not in said, said
    assert said in pair.leat.run("status", output="text").out
