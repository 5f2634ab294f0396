"""DDL while following: the store stops at it with the exact statement; once that was run on the target it goes on, with nothing lost."""
import pytest

from compare import compare
from follow import LEAT_TABLES
from wait import wait_for

PAIRS = [(13, 17), (10, 15)]


def plain_role(old, new):
    """A role as managed services give: no superuser on the source, so no event trigger."""
    for s in (old, new):
        s.sql("create role app; create role leat login replication; grant app to leat; grant create on database shop to leat")
        s.sql("alter schema public owner to app", db="shop")
    new.sql("alter role leat superuser")
    old.sql("alter table t owner to app", db="shop")


class Shop:
    """A small store that is followed, as superuser or not."""

    def __init__(self, server, migration, source, target, superuser=True, schema="", extra=""):
        self.old, self.new = server(source, "old"), server(target, "new")
        self.old.createdb("shop")
        self.new.createdb("shop")
        self.at_source("create table t (id int primary key, x text); insert into t select g, 'a' from generate_series(1, 100) g")
        if schema:
            self.at_source(schema)
        if not superuser:
            plain_role(self.old, self.new)
        user = {} if superuser else {"user": "leat"}
        self.m = migration({"shop": (self.old.dsn("shop", **user), self.new.dsn("shop", **user))}, extra=extra)
        self.m.run("start", "--yes")
        self.following()

    def at_source(self, *statements):
        for s in statements:
            self.old.sql(s, db="shop")

    def at_target(self, statement):
        return self.new.sql(statement, db="shop")

    def following(self):
        return self.m.wait_status(lambda s: s["stores"][0].get("following") and s["stores"][0]["running"] and not s["stores"][0].get("fault"), 60, "following")

    def stopped(self, so=lambda fault: True):
        def holds(s):
            fault = s["stores"][0].get("fault") or {}
            return fault.get("code") == "ddl" and so(fault)
        return self.m.wait_status(holds, 40, "the store to stop at the DDL")["stores"][0]

    def resume(self):
        self.m.run("resume", "shop")

    def count(self, what, n):
        wait_for(lambda: self.new.one(f"select count(*) from {what}", db="shop") == n, 40, f"{n} of {what}", show=self.m.logs)

    def equal(self):
        """The last change has come over; both sides are equal and nothing is in the ledger."""
        found = compare(self.old.dsn("shop"), self.new.dsn("shop"), sequences=None, skip=LEAT_TABLES)
        assert not found, str(found)
        assert self.new.one("select count(*) from leat.ledger", db="shop") == 0, self.at_target("select * from leat.ledger")


CHANGES = [
    ("alter table t add column y numeric(10,2)", "insert into t values (1000, 'b', 1.5)", "add column"),
    ("alter table t drop column x", "insert into t values (1000)", "drop column"),
    ("alter table t alter column x type varchar(20)", "insert into t values (1000, 'b')", "type "),
]


@pytest.mark.parametrize("superuser", [True, False], ids=["superuser", "plain"])
@pytest.mark.parametrize("ddl,dml,says", CHANGES, ids=["add", "drop", "type"])
@pytest.mark.parametrize("source,target", PAIRS)
def test_stops_with_the_statement_and_goes_on(server, migration, source, target, ddl, dml, says, superuser):
    shop = Shop(server, migration, source, target, superuser)
    shop.at_source("insert into t values (500, 'before')", ddl, dml, "update t set id = id + 5000 where id < 10")
    stopped = shop.stopped()
    todo = stopped["fault"]["todo"]
    assert says in todo.lower(), stopped
    assert shop.new.one("select count(*) from t where id = 1000", db="shop") == 0
    if superuser:   # exactly before that transaction, in the words of the source
        assert shop.new.one("select count(*) from t where id = 500", db="shop") == 1
        assert todo.startswith(ddl) and todo == stopped["ddl_pending"], stopped
    shop.at_target(todo.split(";")[0])   # exactly what it says
    shop.resume()
    shop.count("t where id > 5000", 9)
    assert shop.following()["stores"][0]["ddl_pending"] == ""
    shop.equal()


def test_resumed_too_early_it_stops_again(server, migration):
    shop = Shop(server, migration, 13, 17)
    shop.at_source("alter table t add y int default 7", "insert into t values (1000, 'b', 1)")
    shop.stopped()
    shop.resume()
    shop.stopped()
    shop.at_target("alter table t add y int default 7")
    shop.resume()
    shop.count("t where y = 1", 1)
    shop.equal()


def test_rows_before_and_after_it_in_one_transaction(server, migration):
    shop = Shop(server, migration, 13, 17)
    shop.at_source("begin; insert into t values (1000, 'before'); alter table t add y int default 3; insert into t values (1001, 'after', 9);"
                   " alter table t drop column x; update t set y = 8 where id = 1; commit; insert into t values (1002, 1)")
    todo = shop.stopped()["fault"]["todo"]
    assert todo.startswith("alter table t add y"), todo
    shop.at_target(todo.split(";")[0])
    shop.resume()
    todo = shop.stopped(lambda fault: fault["todo"] != todo)["fault"]["todo"]
    assert todo.startswith("alter table t drop column x"), todo
    shop.at_target(todo.split(";")[0])
    shop.resume()
    shop.count("t where id = 1002", 1)
    shop.equal()


def test_what_was_rolled_back_is_not_seen(server, migration):
    shop = Shop(server, migration, 13, 17)
    shop.at_source("begin; alter table t add y int; rollback",
                   "begin; insert into t values (1000, 'a'); savepoint s; alter table t add z int; insert into t values (1001, 'b', 1); rollback to s;"
                   " insert into t values (1002, 'c'); commit")
    shop.count("t where id >= 1000", 2)
    assert shop.following()["stores"][0]["ddl_pending"] == ""
    shop.equal()


def test_what_does_not_touch_the_rows_does_not_stop(server, migration):
    shop = Shop(server, migration, 13, 17)
    shop.at_source("create index on t (x)", "create view v as select * from t", "comment on table t is 'x'", "create temp table tt (a int)",
                   "alter table t add check (id > 0)", "grant select on t to public", "insert into t values (1000, 'b')")
    shop.count("t where id = 1000", 1)
    noted = [e["body"]["tag"] for e in shop.m.run("events").events if e.get("kind") == "ddl.seen"]
    assert noted == ["CREATE INDEX", "CREATE VIEW", "COMMENT", "ALTER TABLE", "GRANT"], noted


def test_the_note_never_makes_a_statement_fail(server, migration):
    shop = Shop(server, migration, 13, 17)
    shop.at_source("alter table leat.ddl add nothing int not null")   # whatever is wrong with it
    shop.at_source("create role app login; create schema evil authorization app; grant create on database shop to app",
                   "create function evil.bad(text, text) returns boolean language plpgsql as $$ begin raise exception 'taken in'; end $$;"
                   " create operator evil.~ (procedure = evil.bad, leftarg = text, rightarg = text);"
                   " set search_path = evil, pg_catalog; create table evil.mine (a int); reset search_path")
    assert shop.old.one("select count(*) from evil.mine", db="shop") == 0
    with pytest.raises(Exception):
        shop.old.sql("set role app; select leat.note_ddl()", db="shop")
    with pytest.raises(Exception):
        shop.old.sql("set role app; select command from leat.ddl", db="shop")


@pytest.mark.parametrize("source,target", PAIRS)
def test_a_new_table_is_followed_from_its_first_row(server, migration, source, target):
    shop = Shop(server, migration, source, target)
    shop.at_source("create table n (id int primary key, x text)", "insert into n select g, 'early' from generate_series(1, 1000) g", "update n set x = 'u' where id < 5")
    todo = shop.stopped()["fault"]["todo"]
    assert todo.startswith("create table n"), todo
    shop.at_target(todo.split(";")[0])
    shop.resume()
    shop.following()
    shop.at_source("insert into n values (-1, 'late')", "delete from n where id = 7")
    shop.count("n where id = -1", 1)
    shop.count("n", 1000)
    shop.equal()


def test_renamed_and_dropped(server, migration):
    shop = Shop(server, migration, 13, 17, schema="create table gone (a int primary key); insert into gone values (1)")
    shop.at_source("insert into t values (1000, 'old name')", "alter table t rename to u", "insert into u values (1001, 'new name')")
    todo = shop.stopped()["fault"]["todo"]
    assert todo.startswith("alter table t rename to u"), todo
    shop.resume()   # too early: the rows before it still go where they were
    shop.stopped()
    shop.count("t where id = 1000", 1)
    shop.at_target("alter table t rename to u")
    shop.resume()
    shop.count("u where id = 1001", 1)
    shop.at_source("insert into gone values (2)", "drop table gone", "insert into u values (1002, 'c')")
    assert shop.stopped()["fault"]["todo"].startswith("drop table gone")
    shop.count("gone", 2)
    shop.at_target("drop table gone")
    shop.resume()
    shop.count("u where id = 1002", 1)
    shop.equal()


def test_a_new_label_of_an_enum(server, migration):
    shop = Shop(server, migration, 13, 17, schema="create type mood as enum ('sad'); create table m (id int primary key, m mood)")
    shop.at_source("alter type mood add value 'glad'", "insert into m values (1, 'glad')")
    todo = shop.stopped()["fault"]["todo"]
    shop.at_target(todo.split(";")[0])
    shop.resume()
    shop.count("m where m = 'glad'", 1)
    shop.equal()
