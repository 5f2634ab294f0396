"""The harness itself: servers live and die as told, the comparison and the ledger find what is planted.

A harness that finds nothing would make every other scenario pass."""
import os
import signal
import subprocess
import sys
import textwrap
import threading

import psycopg2
import pytest

import awkward
from compare import compare
from leat import Result
from servers import MAJORS, PINNED, TREE, Server, available, base_dir
from wait import TooLate, wait_for, wait_gone
from workload import Workload

PG15 = "/usr/lib/postgresql/15/bin"


def copy_database(source, target, db):
    """pg_dump | pg_restore: the harness needs a true copy to spoil."""
    target.createdb(db)
    dump = subprocess.run([f"{PG15}/pg_dump", "-Fc", source.socket_dsn(db)], check=True, stdout=subprocess.PIPE).stdout
    subprocess.run([f"{PG15}/pg_restore", "--exit-on-error", "-d", target.socket_dsn(db)], input=dump, check=True)


@pytest.mark.parametrize("major", MAJORS)
def test_server_of_each_major(server, major):
    assert available(major), f"PostgreSQL {major} is missing below {PINNED}"
    pg = server(major, "one")
    assert pg.one("show server_version_num").startswith(str(major))
    assert pg.one("show wal_level") == "logical"
    assert pg.one("select pg_encoding_to_char(encoding) || datcollate from pg_database where datname = 'postgres'") == "UTF8C.UTF-8"
    if os.geteuid() == 0:
        assert os.stat(f"/proc/{pg.pid}").st_uid != 0


@pytest.mark.parametrize("major", (10, 15, 18))
def test_acknowledged_rows_survive_crash_and_kill(server, major):
    pg = server(major, "one")
    pg.sql("create table t (a int)")
    for n, end in enumerate((pg.kill9, pg.crash, pg.stop), 1):
        pg.sql("insert into t values (%s)", (n,))
        end()
        assert not pg.running()
        with pytest.raises(psycopg2.OperationalError):
            pg.conn()
        pg.start()
        assert pg.one("select count(*) from t") == n


@pytest.mark.parametrize("major", (10, 13, 17))
def test_standby_follows_and_is_promoted(server, major):
    pg = server(major, "one")
    pg.sql("create table t (a int); insert into t values (1)")
    standby = pg.basebackup("two")
    pg.sql("insert into t values (2)")
    wait_for(lambda: standby.one("select count(*) from t") == 2, 20, "the standby to follow")
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        standby.sql("insert into t values (3)")
    standby.promote()
    standby.sql("insert into t values (3)")
    assert pg.one("select count(*) from t") == 2


def test_passwords_and_encodings(server):
    pg = server(13, "one", auth="scram", encoding="SQL_ASCII", locale="C")
    pg.sql("create role app login")
    pg.set_password("app", "it's: secret/@")
    psycopg2.connect(host="127.0.0.1", port=pg.port, user="app", dbname="postgres", password="it's: secret/@").close()
    for dsn in (pg.dsn(password=False), pg.dsn().replace("postgres-secret", "wrong")):
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(dsn)
    assert pg.one("show server_encoding") == "SQL_ASCII"


def test_servers_die_with_the_program_that_started_them():
    program = textwrap.dedent(f"""
        import sys, threading
        sys.path.insert(0, {str(TREE / 'tests' / 'lib')!r})
        from servers import Server
        made = []
        starter = threading.Thread(target=lambda: made.append(Server(15, "one")))   # a thread that ends
        starter.start(); starter.join()
        assert made[0].one("select 1") == 1
        print(made[0].pid, flush=True)
        sys.stdin.read()
    """)
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid = int(child.stdout.readline())
    assert os.path.exists(f"/proc/{pid}")
    child.send_signal(signal.SIGKILL)
    child.wait()
    wait_gone(pid, 20)


def test_waiting_ends_at_its_deadline():
    with pytest.raises(TooLate, match="waited 0.1 s for rain; last: 0"):
        wait_for(lambda: 0, 0.1, "rain")
    assert wait_for(iter((None, "", 7)).__next__, 5, "the third") == 7


def test_result_finds_the_last_object():
    result = Result(["x"], 0, '{"a": 1}\nnoise {\n{"b":\n {"c": "}"}}\n', "")
    assert result.json == {"b": {"c": "}"}} and result.events[0] == {"a": 1}


# ---- comparison ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("majors", ((10, 17), (13, 18)))
def test_comparison_of_awkward_types(server, majors):
    old, new = server(majors[0], "old"), server(majors[1], "new")
    old.createdb("shop")
    old.sql(awkward.schema(majors[0]), db="shop")
    dml = awkward.Dml(seed=5, major=majors[0])
    conn = old.conn("shop")
    awkward.fill(conn, dml, 40)
    assert awkward.work(conn, dml, 200) > 100
    copy_database(old, new, "shop")
    equal = compare(old.socket_dsn("shop"), new.socket_dsn("shop"))
    assert not equal, str(equal)
    assert equal.rows > 500 and equal.tables >= len(dml.tables)
    for table in dml.tables:
        name = f"{awkward.SCHEMA}." + table.name.strip('"')
        if new.one(f'select count(*) from only "Awk ward".{table.name}', db="shop"):
            new.sql("set session_replication_role = replica; " + dml.delete(table), db="shop")
            found = compare(old.socket_dsn("shop"), new.socket_dsn("shop"), sequences=None, only=[name])
            assert len(found) == 1 and "1 only on the source, 0 only on the target" in found[0], (name, str(found))


@pytest.fixture(scope="module")
def pair():
    """Two servers with the same small database `twin`, to be copied by tests that spoil it."""
    with Server(13, "old") as old, Server(15, "new") as new:
        for pg in (old, new):
            pg.createdb("twin")
            pg.sql("create table t (id int primary key, b text, c text, f float8, n numeric); create sequence s; "
                   "insert into t values (1, null, '', 0, 1.10), (2, '12', '3', 1, 1), (3, '1', '23', 1, 1); "
                   "create table dup (a int); insert into dup values (1), (1)", db="twin")
        yield old, new


@pytest.mark.parametrize("plant, said", (
    ("update t set b = '' where b is null", "1 only on the source, 1 only on the target"),
    ("update t set f = '-0' where id = 1", "1 only on the source"),
    ("update t set b = c, c = b where id = 2", "1 only on the source"),
    ("update t set n = 1.1 where id = 1", "1 only on the source"),
    ("insert into dup values (1), (1)", "2 rows against 4"),
    ("delete from dup where ctid = (select ctid from dup limit 1)", "2 rows against 1"),
    ("alter table t alter b type varchar(99)", "columns differ"),
    ("drop table dup", "only on the source"),
    ("create table more (a int)", "only on the target"),
    ("select nextval('s')", "sequence public.s"),
))
def test_comparison_finds_what_is_planted(pair, plant, said):
    old, new = pair
    new.sql("drop database if exists spoiled")
    new.createdb("spoiled", "template twin")
    assert not compare(old.socket_dsn("twin"), new.socket_dsn("spoiled"))
    new.sql(plant, db="spoiled")
    found = compare(old.socket_dsn("twin"), new.socket_dsn("spoiled"))
    assert len(found) == 1 and said in str(found), str(found)


def test_comparison_knows_columns_by_name(server):
    old, new = server(13, "old"), server(15, "new")
    old.sql("create table t (gone int, a int, b text); alter table t drop gone; insert into t values (1, 'x')")
    new.sql("create table t (b text, a int); insert into t values ('x', 1)")
    assert not compare(old.socket_dsn(), new.socket_dsn())


# ---- ledger -------------------------------------------------------------------------------------------------------

def test_ledger_holds_through_kills_and_finds_what_is_planted(server):
    old, new = server(13, "old"), server(17, "new")
    old.createdb("shop")
    load = Workload(old.socket_dsn("shop"), clients=4, seed=11)
    load.create()
    with load:
        for _ in range(3):
            load.wait_commits(200)
            old.kill9()
            old.start()
        load.wait_commits(100)
    assert load.ledger.acknowledged >= 700
    assert load.check(old.conn("shop")) == []
    copy_database(old, new, "shop")
    assert load.check(new.conn("shop")) == []

    new.sql("alter table load.line drop constraint line_item_fkey; alter table load.seq drop constraint seq_pkey", db="shop")
    for plant, said in (
            ("delete from load.item where id = (select id from load.item order by id limit 1)", "lost (acknowledged"),
            ("update load.account set balance = balance + 1 where (client, number) = (select client, number from load.account limit 1)",
             "acknowledged was"),
            ("insert into load.moved values (1, 1, 1, '')", "never acknowledged"),
            ("insert into load.seq select * from load.seq limit 1", "there twice"),
            ("update load.moved set big = null where key = (select max(key) from load.moved)", "acknowledged was")):
        before = len(load.check(new.conn("shop"), limit=100))
        new.sql(plant, db="shop")
        problems = load.check(new.conn("shop"), limit=100)
        assert len(problems) == before + 1 and any(said in p for p in problems), (plant, problems)


def test_ledger_takes_an_unknown_commit_wholly_or_not_at_all(server):
    pg = server(15, "one")
    load = Workload(pg.socket_dsn(), clients=1)
    load.create()
    load.ledger.commit({("seq", "1/1"): (0, "")})
    load.ledger.doubt({("seq", "1/2"): (0, ""), ("seq", "1/3"): (0, "")})
    pg.sql("insert into load.seq values (1, 1)")
    assert load.check(pg.conn()) == []
    pg.sql("insert into load.seq values (1, 2)")
    assert "in part" in str(load.check(pg.conn()))
    pg.sql("insert into load.seq values (1, 3)")
    assert load.check(pg.conn()) == []
    load.ledger.settle(0, committed=False)
    assert len(load.check(pg.conn())) == 2


def test_ledger_holds_when_backends_are_ended_at_commit(server):
    """Backends are ended while they commit, again and again; whatever the clients were told stays true."""
    pg = server(15, "one")
    load = Workload(pg.socket_dsn(), clients=2, seed=3)
    load.create()
    stop = threading.Event()

    def cut():
        while not stop.wait(0.05):
            pg.sql("select pg_terminate_backend(pid) from pg_stat_activity where query like 'COMMIT%%' and pid <> pg_backend_pid()")
    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        with load:
            load.wait_commits(500)
    finally:
        stop.set()
        cutter.join()
    assert load.check(pg.conn()) == []


def test_no_folder_is_left_behind(server):
    pg = server(15, "one")
    home = pg.home
    assert home.parent == base_dir() and home.exists()
    pg.destroy()
    assert not home.exists()
