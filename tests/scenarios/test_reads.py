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
create function lies() returns int stable language plpgsql as 'begin perform nextval(''s''); return 7; end';
create function where_am_i() returns int immutable language sql as 'select inet_server_port()';
create sequence s;
"""
GRANTS = "grant all on all tables in schema public to app, clerk; grant all on all sequences in schema public to app, clerk"


class Shop:
    """Two servers, leat following with its doors, reads at 100 % unless said otherwise."""

    def __init__(self, server, migration, source=15, target=15, doors=1, reads="{share: 100%, wait: 2s}"):
        self.old, self.new = server(source, "old"), server(target, "new")
        for s in (self.old, self.new):
            s.sql("create role leat login superuser")
        self.old.sql("create role app login; create role clerk login")
        self.old.createdb("shop")
        self.new.createdb("shop")
        self.new.sql("create type pushes as enum ('numbers', 'apart')", db="shop")
        self.new.sql("drop type pushes", db="shop")
        self.old.sql(SCHEMA + GRANTS, db="shop")
        self.ports = [servers._free_port() for _ in range(doors)]
        text = make_config({"shop": (self.old.dsn("shop", user="leat"), self.new.dsn("shop", user="leat"))}, None, "gates:\n  rehearsals: 0\n  pause: 5s\n")
        door = f"    door: [{', '.join(f'127.0.0.1:{port}' for port in self.ports)}]\n    door_trust: [127.0.0.1/32]\n    reads: {reads}\n"
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


@pytest.mark.parametrize("source,target", [(15, 15), (13, 17)])
def test_reads_go_to_the_target_and_what_is_no_read_does_not(server, migration, source, target):
    shop = Shop(server, migration, source, target)
    c = shop.settle(shop.connect())
    assert value(c, "select m from item where id = 1") == "sad"
    assert value(c, "select count(*) from items") == 100
    assert value(c, "select looks()") != None and shop.reads()["trouble"] == ""
