"""DDL while following: the store stops at it with the exact statement; once that was run on the target it goes on, with nothing lost."""
import contextlib

import pytest

from compare import compare
from follow import LEAT_TABLES, Scene
from followed import DATABASE, Followed
from wait import wait_for

PAIRS = [(13, 17), (10, 15)]


def plain_role(old, new):
    """A role as managed services give: no superuser on the source, so no event trigger."""
    for s in (old, new):
        s.sql("create role app; create role leat login replication; grant app to leat; grant create on database shop to leat")
        s.sql("alter schema public owner to app", db="shop")
    new.sql("alter role leat superuser")
    for (table,) in old.sql("select tablename from pg_tables where schemaname = 'public'", db="shop"):
        old.sql(f"alter table {table} owner to app", db="shop")


class Shop:
    """A small store that is followed, as superuser or not."""

    def __init__(self, server, migration, source, target, superuser=True, schema="", policy="stop"):
        self.old, self.new = server(source, "old"), server(target, "new")
        self.old.createdb("shop")
        self.new.createdb("shop")
        self.at_source("create table t (id int primary key, x text); insert into t select g, 'a' from generate_series(1, 100) g")
        if schema:
            self.at_source(schema)
        if not superuser:
            plain_role(self.old, self.new)
        user = {} if superuser else {"user": "leat"}
        self.m = migration({"shop": (self.old.dsn("shop", **user), self.new.dsn("shop", **user))})
        self.m.write(self.m.config.read_text().replace("    engine: postgresql\n", f"    engine: postgresql\n    ddl: {policy}\n"))
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
REWRITE = CHANGES[2]


@pytest.mark.parametrize("superuser", [True, False], ids=["superuser", "plain"])
@pytest.mark.parametrize("source,target,ddl,dml,says", [(*pair, *change) for pair in PAIRS for change in CHANGES if pair[0] > 10 or change is not REWRITE],
                         ids=["13-17-add", "13-17-drop", "13-17-type", "10-15-add", "10-15-drop"])
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


@pytest.mark.parametrize("superuser", [True, False], ids=["superuser", "plain"])
def test_rewrite_on_10_copies_the_table_and_stops_at_a_change(server, migration, superuser):
    """There a rewrite cannot be told from a TRUNCATE: the table is copied again. What that copy saw needs no stop, what comes after it does."""
    shop = Shop(server, migration, 10, 15, superuser)
    shop.at_source(REWRITE[0], REWRITE[1])

    def stops_at_a_change():
        shop.at_source("update t set x = x || '.' where id = 1 and length(x) < 15")
        return (shop.m.status()["stores"][0].get("fault") or {}).get("code") == "ddl"
    wait_for(stops_at_a_change, 40, "the store to stop at a change of the new shape", every=0.5, show=shop.m.logs)
    todo = shop.stopped()["fault"]["todo"]
    assert REWRITE[2] in todo.lower()
    shop.at_target(todo.split(";")[0])
    shop.resume()
    shop.at_source("insert into t values (2000, 'last')")
    shop.count("t where id = 2000", 1)
    shop.following()
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


@pytest.mark.trap("P16")
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


@pytest.mark.trap("P27")
@pytest.mark.parametrize("source,target", PAIRS)
def test_without_event_trigger_changes_are_named(server, migration, source, target):
    shop = Shop(server, migration, source, target, superuser=False, schema="create table gone (a int primary key)")
    shop.at_source("create index by_x on t (x)", "create table n (id int primary key)", "alter table n owner to app",
                   "insert into n select generate_series(1, 100)", "drop table gone", "insert into t values (1000, 'goes on')")
    shop.count("t where id = 1000", 1)
    status = shop.m.wait_status(lambda s: "public.n is new" in s["stores"][0]["ddl_pending"], 40, "the new table to be named")["stores"][0]
    assert "public.by_x" in status["ddl_pending"] and "public.gone is no longer" in status["ddl_pending"], status
    assert status["running"] and not status["fault"]
    shop.at_target("create table n (id int primary key); create index by_x on t (x); drop table gone")   # it is then followed by itself
    shop.count("n", 100)
    shop.at_source("insert into n values (-1)")
    shop.count("n where id = -1", 1)
    shop.m.wait_status(lambda s: s["stores"][0]["ddl_pending"] == "", 40, "nothing to be pending")
    shop.equal()


def test_the_note_leaves_the_session_as_it_was(server, migration, client):
    shop = Shop(server, migration, 13, 17, schema="create role app; grant create on schema public to app; create schema a")
    session = client(shop.old)

    def path(*statements):
        for statement in statements:
            session.execute(statement)
        session.execute("show search_path")
        return session.fetchone()[0]
    assert path("set role app", "create view by_app as select 1", "reset role") == '"$user", public'
    assert path("begin", "set search_path = a, public", "create view v1 as select 1") == "a, public"
    assert path("set local search_path = public", "create view v2 as select 1") == "public"
    assert path("commit") == "a, public"
    assert path("begin", "set search_path = public", "create view v3 as select 1", "rollback") == "a, public"
    noted = shop.old.sql("select object, role, path from leat.ddl order by id", db="shop")
    assert noted == [("public.by_app", "app", '"$user", public'), ("a.v1", "postgres", "a, public"), ("public.v2", "postgres", "public")], noted


def test_stopped_and_killed_it_still_goes_on_exactly_there(server, migration):
    with Scene(server, migration, 13, 17, seed=6, awkwardly=False) as scene:
        scene.start()
        scene.wait_following()
        for n in range(2):
            scene.load.wait_commits(30)
            scene.old.sql(f"begin; insert into load.account values (-5, {n}, 0, 0); alter table load.account add extra{n} int default {n};"
                          f" insert into load.account values (-6, {n}, 0, 0, {', '.join(['7'] * (n + 1))}); commit", db="shop")
            scene.leat.kill9("engine")
            fault = scene.leat.wait_status(lambda s: (s["stores"][0].get("fault") or {}).get("code") == "ddl", 60, "the stop")["stores"][0]["fault"]
            assert fault["todo"].startswith(f"alter table load.account add extra{n}"), fault
            assert scene.new.one(f"select count(*) from load.account where client in (-5, -6) and number = {n}", db="shop") == 0
            scene.new.sql(fault["todo"].split(";")[0], db="shop")
            scene.leat.run("resume", "shop")
            scene.leat.kill9("engine")
            wait_for(lambda: scene.new.one(f"select count(*) from load.account where client in (-5, -6) and number = {n}", db="shop") == 2, 60, "both rows", show=scene.leat.logs)
        scene.old.sql("delete from load.account where client in (-5, -6)", db="shop")   # the clients know nothing of them
        scene.finish()


# --- ddl: apply ---

APPLIED = [
    "begin; insert into t values (2000, 'before'); alter table t add y int not null default 3; insert into t values (2001, 'after', 9);"
    " alter table t drop column x; update t set y = 8 where id = 1; insert into t values (2002); commit",
    "insert into t values (2003, 4); alter table t add z numeric(10,2) default 1.5, add q text; update t set z = 2 where id = 2003",
    "alter table t alter column z type varchar(30) using (z::varchar(30)); insert into t values (2004, 1, 'text')",
    "create index concurrently by_z on t (z)",
    "set timezone = 'Europe/Berlin'; alter table stamped alter at type timestamptz",
    "set search_path = other, public; create table made (id int primary key, m mood, check (id > 0)); insert into made values (1, 'sad')",
    "alter type mood add value 'glad'",
    "insert into other.made values (2, 'glad')",
    "create table filled as select g as n, 'x' as x from generate_series(1, 50) g",
    "create view v as select id from t; comment on view v is 'seen'",
    "alter table t rename column q to r; insert into t (id, y, r) values (2005, 5, 'r')",
    "alter table t rename to u; insert into u (id, y) values (2006, 6)",
    "truncate stamped; drop table stamped",
]
APPLY_SCHEMA = ("create schema other; create type mood as enum ('sad'); create table stamped (id int primary key, at timestamp);"
                " insert into stamped values (1, '2020-07-01 12:00')")


def one_by_one(shop, text):
    """As a client would: what cannot stand in a transaction alone, the rest as one string."""
    for statement in text.split("; ") if text.startswith("set ") else [text]:
        shop.session.execute(statement)


@pytest.fixture
def client():
    made = []

    def make(server):
        made.append(server.conn(db="shop", autocommit=True))
        return made[-1].cursor()
    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("kills", [0, 12], ids=["quiet", "killed"])
@pytest.mark.parametrize("source,target", [(13, 17), (10, 15)])
def test_applied_at_its_place(server, migration, client, source, target, kills):
    shop = Shop(server, migration, source, target, schema=APPLY_SCHEMA, policy="apply")
    shop.session = client(shop.old)
    for n, text in enumerate(APPLIED):
        one_by_one(shop, text)
        if n < kills:
            shop.m.kill9("engine")
    shop.at_source("insert into public.u (id, y) values (9999, 0)")
    wait_for(lambda: shop.new.one("select count(*) from pg_tables where tablename = 'u'", db="shop") == 1, 60, "the rename", show=shop.m.logs)
    shop.count("u where id = 9999", 1)
    shop.following()
    shop.count("other.filled", 50)
    shop.count("other.made", 2)
    shop.equal()
    assert shop.new.one("select count(*) from pg_indexes where indexname = 'by_z'", db="shop") == 1
    assert shop.new.one("select count(*) from pg_views where viewname = 'v'", db="shop") == 1


@pytest.mark.parametrize("ddl,why", [
    ("alter table t add at timestamptz default clock_timestamp()", "computes values"),
    ("do $$ begin alter table t add y int; end $$", "by a function or a DO block"),
    ("alter table t add y int; alter table if exists nothing add z int", "cannot be told from others"),
], ids=["computed", "do", "many"])
def test_what_cannot_be_applied_stops_with_the_reason(server, migration, ddl, why):
    shop = Shop(server, migration, 13, 17, policy="apply")
    shop.at_source(ddl, "insert into t values (1000, 'b')")
    stopped = shop.stopped()
    assert why in stopped["fault"]["why"], stopped
    assert shop.new.one("select count(*) from pg_attribute where attrelid = 't'::regclass and attname in ('y', 'at')", db="shop") == 0


def test_applied_under_load(server, migration):
    with Scene(server, migration, 13, 17, seed=5, awkwardly=False) as scene:
        scene.leat.write(scene.leat.config.read_text().replace("    engine: postgresql\n", "    engine: postgresql\n    ddl: apply\n"))
        scene.start()
        scene.wait_following()
        for n in range(5):
            scene.old.sql(f"alter table load.account add extra{n} int default {n}", db="shop")
            scene.old.sql(f"create table load.more{n} (id int primary key); insert into load.more{n} select generate_series(1, 100)", db="shop")
            scene.leat.kill9("engine")
            scene.load.wait_commits(50)
        scene.old.sql("alter table load.account drop column extra0, drop column extra1, drop column extra2, drop column extra3, drop column extra4", db="shop")
        wait_for(lambda: scene.new.one("select count(*) from pg_tables where tablename like 'more%'", db="shop") == 5, 60, "the new tables", show=scene.leat.logs)
        wait_for(lambda: scene.new.one("select count(*) from load.more4", db="shop") == 100, 60, "their rows", show=scene.leat.logs)
        scene.finish()


@pytest.mark.parametrize("ddl", ["stop", "apply"])
def test_a_text_that_is_none(server, migration, ddl):
    """Of a source that checks no encoding: what is said of it can be read, what is to be run is made from the difference; nothing is run with other letters."""
    with Followed(server, migration, 13, 17, "create table t (id int primary key)", database="template template0 encoding 'SQL_ASCII' locale 'C'") as f:
        f.leat.write(f.leat.config.read_text().replace("    engine: postgresql\n", f"    engine: postgresql\n    ddl: {ddl}\n"))
        f.start()
        with contextlib.closing(f.old.conn(DATABASE, autocommit=True)) as conn:
            conn.set_client_encoding("SQL_ASCII")
            conn.cursor().execute(b"comment on table t is 'caf\xe9'")
            conn.cursor().execute(b"alter table t add column x text default 'caf\xe9', add column y int")
        f.source("insert into t values (1, 'plain', 2)")
        fault = f.fault("ddl")
        assert "no UTF-8" in fault["why"] and "ADD COLUMN" in fault["todo"] and "caf" not in fault["todo"], fault
        f.new.sql(fault["todo"].split("; on the target")[0], db=DATABASE)
        f.leat.run("resume", DATABASE)
        f.leat.run("start", "--yes", check=False)
        f.equal()
        assert "caf?" in f.leat.run("events").out
