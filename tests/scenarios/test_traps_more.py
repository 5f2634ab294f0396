"""Traps of rights, machines and commits (docs/traps.md), each test named after its number."""
import json
import os
import shutil
import signal

import pytest

from followed import DATABASE, Followed
from misfortune import Clock
from wait import wait_for

POLICY = "alter table t enable row level security, force row level security; create policy few on t using (id < 3)"
FILTERED = "row-level security"


def test_p11_row_security_hides_no_row(server, migration):
    """For a role that owns the table, but is bound by its policies: refused by doctor; put up behind doctor's back, by the copy, by a comparison, by applying."""
    with Followed(server, migration, 13, 17) as f:
        for s in (f.old, f.new):
            s.sql("create role app; create role leat login replication; grant app to leat; grant create on database shop to leat")
            s.sql("alter schema public owner to app", db=DATABASE)
        f.new.sql("grant set on parameter session_replication_role to leat")
        f.source("create table t (id int primary key, x text); insert into t select g, 'x' from generate_series(1, 100) g; alter table t owner to app; alter table beat owner to app",
                 "grant pg_monitor to leat", POLICY)
        f.leat = migration({DATABASE: (f.old.dsn(DATABASE, user="leat"), f.new.dsn(DATABASE, user="leat"))})
        assert "row security hides rows" in f.leat.run("start", "--yes", check=1).json["error"]["why"]
        f.source("alter table t disable row level security, no force row level security; drop policy few on t")
        before = f.old.conn(db=DATABASE)
        before.cursor().execute("insert into beat values (-1)")
        f.leat.start_run("start", "--yes")
        wait_for(lambda: waits_for_transaction(f.old), 30, "the slot to wait, doctor to have passed", show=f.story)
        f.source(POLICY)
        before.commit()
        assert FILTERED in f.fault("right-missing")["why"]
        f.old.sql("alter role leat bypassrls")
        f.start()
        f.new.sql("alter role leat bypassrls")
        f.equal()
        for s in (f.old, f.new):
            s.sql("alter role leat nobypassrls")
        told = f.leat.run("verify", check=2).json["stores"][0]
        assert not told["clean"] and FILTERED in told["unverifiable"][0]["why"] and [t["table"] for t in told["tables"]] == ["public.beat"], told
        f.leat.kill9("engine")
        f.source("update t set x = 'y'", "delete from t where id = 50")
        assert FILTERED in f.fault("right-missing")["why"]
        f.new.sql("alter role leat bypassrls")
        f.start()
        f.equal()
        f.old.sql("alter role leat bypassrls")
        assert f.leat.run("verify").json["stores"][0]["clean"]


def waits_for_transaction(server):
    return server.sql("select 1 from pg_locks l join pg_stat_activity a using (pid) where l.locktype = 'transactionid' and not l.granted and a.query ~* 'replication_slot'")


ELSEWHERE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", '"$@"; exec sleep infinity', "sh")   # where the others' processes cannot be looked at


@pytest.mark.skipif(os.geteuid() != 0, reason="another machine is made by root only")
def test_p24_taken_over_from_while_it_stood_still(server, migration, tmp_path):
    """The first stands still with a transaction begun and others behind it; a second with a copy of its state on another machine, whose clock says that
    the lease ran out, takes over; then the first wakes, and writes no row."""
    with Followed(server, migration, 13, 17, "create table t (id int primary key, x text); insert into t select g, 'x' from generate_series(1, 100) g") as f:
        f.start()
        f.equal()
        blocker = f.new.conn(db=DATABASE)
        blocker.cursor().execute("select 1 from t where id = 1 for update")
        f.source("begin; update t set x = 'old' where id = 2; update t set x = 'old' where id = 1; commit", "update t set x = 'old' where id > 90", "insert into t values (1000, 'old')")
        wait_for(lambda: f.new.sql("select 1 from pg_stat_activity where application_name = 'leat: apply' and wait_event_type = 'Lock'"), 20, "a lane to wait", show=f.story)
        frozen = f.leat.pids()
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            blocker.rollback()
            clock = Clock(tmp_path)
            clock.set(120)
            second = migration(config=f.leat.config.read_text(), env=clock.env)
            second.prefix = ELSEWHERE
            shutil.copytree(f.leat.state, second.state, ignore=shutil.ignore_patterns("*.sock", "*.holder"))
            second.start_run("start", "--yes")
            f.source("update t set x = 'new' where id < 3 or id = 1000", "delete from t where id = 95")
            f.level()
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        f.leat.wait_status(lambda s: (s["stores"][0].get("fault") or {}).get("code") in ("fenced-out", "slot-foreign"), 30, "the first to end by name")   # the slot is looked at first
        f.source("update t set x = 'after' where id = 50")
        f.equal()
        assert f.one("select string_agg(x, ',' order by id) from t where id in (1, 2, 50, 1000)") == "new,new,after,new"
        assert len(second.pids("engine")) == 1 and not f.leat.pids("engine")


def test_p02_a_blocked_target_and_a_source_that_waits_for_nobody(server, migration):
    """The target holds a row for longer than the source would wait for an answer: the stream stays. What is not for us moves the slot on."""
    with Followed(server, migration, 13, 17, "create table t (id int primary key, x text); insert into t values (1, 'x')") as f:
        f.old.configure(wal_sender_timeout="1s")
        f.start()
        f.equal()
        walsender = "select pid from pg_stat_replication where application_name like '%forward%'"
        before = f.old.one(walsender)
        blocker = f.new.conn(db=DATABASE)
        blocker.cursor().execute("select 1 from t where id = 1 for update")
        f.source("update t set x = 'held up'")
        began = f.old.one("select clock_timestamp()")
        wait_for(lambda: f.old.one("select clock_timestamp() > %s + interval '5s'", (began,)), 20, "five seconds of the source's")
        assert f.one("select x from t") == "x" and f.old.one(walsender) == before, "a blocked target costs the stream"
        blocker.rollback()
        f.equal()
        assert f.old.one(walsender) == before
        f.old.createdb("other")
        f.old.sql("create table elsewhere as select g from generate_series(1, 1000) g", db="other")
        f.source(*["select pg_logical_emit_message(true, 'nobody', 'listens')"] * 20)
        far = f.old.one("select pg_current_wal_lsn() - '0/0'")
        wait_for(lambda: f.old.one("select confirmed_flush_lsn - '0/0' from pg_replication_slots") >= far, 30, "the slot to move on", show=f.story)
        assert f.old.one(walsender) == before


HELD = """create function hold() returns trigger language plpgsql as $$begin perform set_config('synchronous_commit', 'on', true); return null; end$$;
          create trigger hold after insert on t for each row execute function hold(); alter table t enable always trigger hold"""


def test_p33_killed_while_its_commit_runs(server, migration):
    """The engine dies while the target commits: written already, and not yet seen by anybody. A successor reads no position until that is decided."""
    with Followed(server, migration, 15, 17, "create table t (x text); alter table t replica identity full; insert into t values ('first')") as f:
        f.start()
        f.equal()
        f.new.configure(synchronous_commit="local", synchronous_standby_names="nobody")
        f.new.sql(HELD, db=DATABASE)
        f.source("insert into t values ('once')")
        lane = wait_for(lambda: f.new.sql("select pid from pg_stat_activity where application_name = 'leat: apply' and query = 'COMMIT' and wait_event = 'SyncRep'"), 20, "the COMMIT", show=f.story)[0][0]
        os.kill(lane, signal.SIGSTOP)
        try:
            engine = f.leat.pids("engine")
            f.leat.kill9("engine")
            wait_for(lambda: set(f.leat.pids("engine")) - set(engine) and "earlier leat" in f.leat.status(DATABASE)["waits_for"], 20, "another engine to wait for it", show=f.story)
            assert f.one("select count(*) from t") == 1
            f.new.configure(synchronous_standby_names="")
        finally:
            os.kill(lane, signal.SIGCONT)
        f.equal()
        assert f.one("select count(*) from t where x = 'once'") == 1


def test_p18_bytes_that_are_no_text_in_the_stream(server, migration):
    """The row is in the ledger, with its bytes, and what is behind it comes; nobody calls the table compared; mended and copied again, it is exact."""
    with Followed(server, migration, 13, 17, "create table t (id int primary key, x text)", database="template template0 encoding 'SQL_ASCII' locale 'C'") as f:
        f.start()
        f.source("insert into t values (1, 'plain')", "insert into t values (2, E'caf\\xe9')", "insert into t values (3, E'\\xc3\\xa9t\\xc3\\xa9')")
        f.level()
        (table, why, row), = f.new.sql("select table_name, why, new_row from leat.ledger", db=DATABASE)
        assert table == "public.t" and "0xe9" in why and json.loads(row) == {"id": "2", "x": "\\x636166e9"}, (table, why, row)
        assert f.new.sql("select id, x from t order by id", db=DATABASE) == [(1, "plain"), (3, "été")]
        assert "0xe9" in f.leat.run("verify", check=2).json["stores"][0]["unverifiable"][0]["why"]
        f.source("update t set x = E'caf\\xc3\\xa9' where id = 2")
        f.level()
        f.leat.run("resume", DATABASE, "--copy-again", "public.t", "--yes")
        wait_for(lambda: f.new.sql("select id, x from t order by id", db=DATABASE) == [(1, "plain"), (2, "café"), (3, "été")], 40, "the table to be copied again", show=f.story)
        f.following()
        f.level()
        assert f.one("select count(*) from leat.ledger") == 0


SPREAD = """create table m (id int{0}, x text) partition by range (id); create table m_1 partition of m for values from (0) to (1000); create table m_2 partition of m for values from (1000) to (2000); {1};
            create table late (id int primary key, x text); insert into late select g, 'followed before' from generate_series(2000, 2999) g; insert into m select g, 'first' from generate_series(1, 1999, 7) g"""
OF_10 = ("", "alter table m_1 add primary key (id); alter table m_2 add primary key (id)")


@pytest.mark.parametrize("source,target", [(13, 17), (10, 15)])
def test_p16_partitions_that_come_and_go(server, migration, source, target):
    """With rows in them: one that was a table of its own, one made and filled in the transaction that attaches it, one that is detached, changed and attached again.
    From 13 on their root is published, too; on 10 they are, one by one."""
    with Followed(server, migration, source, target, SPREAD.format(*(OF_10 if source == 10 else (" primary key", "")))) as f:
        f.leat.write(f.leat.config.read_text().replace("    engine: postgresql\n", "    engine: postgresql\n    ddl: apply\n"))
        f.start()
        f.source("update late set x = 'alone' where id < 2010", "alter table m attach partition late for values from (2000) to (3000)", "update m set x = 'through the root' where id > 2990", "insert into m values (5, 'five')")
        f.source("begin; create table made (id int primary key, x text); insert into made select g, 'in one' from generate_series(3000, 3999) g; alter table m attach partition made for values from (3000) to (4000);"
                 "update m set x = 'changed' where id = 3500; delete from m where id = 3600; commit", "insert into m values (3600, 'again')")
        f.source("alter table m detach partition m_2", "update m_2 set x = 'detached' where id < 1500", "alter table m attach partition m_2 for values from (1000) to (2000)", "update m set x = 'back' where id between 1500 and 1999")
        f.level()
        f.leat.wait_status(lambda s: s["stores"][0].get("following") and {t["table"]: t["state"] for t in s["stores"][0]["tables"]}.get("public.made") == "joined", 40, "the new one to be followed")
        f.source("update m set x = 'late' where id in (8, 1604, 2500, 3700)", "delete from made where id = 3701", "delete from late where id = 2501")
        f.equal()
        leaves = "select tableoid::regclass::text, count(*), min(x), max(x) from m group by 1 order by 1"
        assert f.new.sql(leaves, db=DATABASE) == f.old.sql(leaves, db=DATABASE) and len(f.new.sql(leaves, db=DATABASE)) == 4
        f.leat.run("verify")
