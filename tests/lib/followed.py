"""followed — one small database that leat copies and follows, for scenarios that ask one question each.

    with Followed(server, migration, 13, 17, "create table t (id int primary key)") as f:
        f.start()
        f.source("insert into t values (1)")
        f.equal()                       # what was written has come over; both sides are the same; the ledger is empty
"""
from compare import compare
from follow import LEAT_TABLES
from wait import wait_for

DATABASE = "shop"
BEAT = "create table if not exists beat (n int primary key);"


class Followed:
    def __init__(self, server, migration, source, target, schema="", settings=None, extra="", database=""):
        """settings: of both servers. database: the tail of CREATE DATABASE on the source."""
        self.old, self.new = server(source, "old", settings), server(target, "new", settings)
        self.dsns = self.old.createdb(DATABASE, database), self.new.createdb(DATABASE)
        self.source(BEAT + schema)
        self.leat = migration({DATABASE: self.dsns}, extra=extra)
        self.beats = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leat.close()

    def source(self, *statements):
        for s in statements:
            self.old.sql(s, db=DATABASE)

    def one(self, question):
        """Of the target."""
        return self.new.one(question, db=DATABASE)

    def start(self):
        self.leat.run("start", "--yes")
        self.following()

    def following(self):
        return self.leat.wait_status(lambda s: s["stores"][0].get("following") and s["stores"][0]["running"], 60, "following")

    def fault(self, code):
        """Starts, and gives the fault it stops with."""
        self.leat.run("start", "--yes", check=False)   # it may have stopped before start returned, which start then says
        return self.leat.wait_status(lambda s: (s["stores"][0].get("fault") or {}).get("code") == code, 30, f"the store to stop with {code}")["stores"][0]["fault"]

    def level(self, deadline=40):
        """Until what was committed on the source before now is on the target."""
        self.beats += 1
        self.source(f"insert into beat values ({self.beats})")
        wait_for(lambda: self.one(f"select count(*) from beat where n = {self.beats}") == 1, deadline, "the last change", show=self.story)

    def equal(self, level=True):
        if level:
            self.level()
        found = compare(*self.dsns, sequences=None, skip=LEAT_TABLES)
        assert not found, str(found)
        assert self.one("select count(*) from leat.ledger") == 0, self.new.sql("select * from leat.ledger limit 5", db=DATABASE)

    def story(self):
        return self.leat.run("status", check=False).out + self.leat.logs()
