"""Traps of servers, slots and snapshots (docs/traps.md), each test named after its number."""
import os
import shutil
import signal
import threading

import pytest

from followed import DATABASE, Followed
from wait import wait_for

T = "create table t (id int primary key, x text); insert into t select g, 'x' from generate_series(1, 100) g;"
SLOTS = "select slot_name, plugin from pg_replication_slots where plugin = 'pgoutput'"


@pytest.mark.parametrize("source,target", [(13, 17), (10, 15)])
def test_p01_p20_a_slot_that_is_not_as_we_left_it(server, migration, source, target):
    """Advanced behind our back, or dropped and made again under its name: a gap is refused, never bridged; and the way on named works."""
    with Followed(server, migration, source, target, T) as f:
        f.start()
        f.source("insert into t values (1000, 'followed')")
        f.equal()
        f.leat.run("stop")
        f.source("insert into t values (1001, 'lost to the slot')")
        (name, plugin), = f.old.sql(SLOTS)
        if source >= 11:
            f.old.sql("select pg_replication_slot_advance(%s, pg_current_wal_lsn())", (name,), db=DATABASE)
            f.fault("slot-foreign")
            f.leat.run("stop")
        f.old.sql("select pg_drop_replication_slot(%s)", (name,), db=DATABASE)
        f.old.sql("select pg_create_logical_replication_slot(%s, %s)", (name, plugin), db=DATABASE)
        f.source("insert into t values (1002, 'after it was made again')")
        fault = f.fault("slot-foreign")
        assert "--arm-again" in fault["todo"], fault
        assert f.one("select count(*) from t where id > 1000") == 0, "nothing is taken from a slot with a gap"
        f.leat.run("resume", DATABASE, "--arm-again", "--yes")
        f.following()
        f.equal()
        assert f.one("select count(*) from t where id > 1000") == 2


def test_p20_a_target_restored_and_a_source_promoted(server, migration):
    """The target of an older backup stands behind; a standby in the source's place has another timeline, and may lack what the target has."""
    with Followed(server, migration, 15, 17, T) as f:
        f.start()
        f.equal()
        backup = f.new.basebackup("backup", standby=False, start=False)
        f.source("insert into t values (1000, 'after the backup')")
        f.equal()
        let_go = f.old.one("select pg_current_wal_lsn() - '0/0'")
        f.source("update t set x = 'y'")
        f.equal()
        # Up to here the source would send it all again, and the older target would be mended by that.
        wait_for(lambda: f.old.one("select confirmed_flush_lsn - '0/0' from pg_replication_slots") >= let_go, 30, "the slot to pass the insert", show=f.story)
        f.leat.run("stop")
        f.new.stop()
        original, f.new = f.new, backup
        backup.configure(port=original.port)
        backup.port = original.port
        backup.start()
        f.fault("target-behind")
        assert f.one("select count(*) from t where id = 1000") == 0
        f.leat.run("stop")
        backup.stop()
        f.new = original
        original.start()
        f.start()
        f.equal()
        standby = f.old.basebackup("standby")
        f.leat.run("stop")
        f.old.stop()
        standby.promote()
        standby.stop()
        standby.configure(port=f.old.port)
        standby.port = f.old.port
        standby.start()
        fault = f.fault("server-changed")
        assert "timeline" in fault["why"] and "source" in fault["why"], fault


def test_p18_another_encoding(server, migration):
    """Another encoding is converted, by copy and stream."""
    latin = "template template0 encoding 'LATIN1' locale 'C'"
    with Followed(server, migration, 13, 17, "create table t (id int primary key, x text); insert into t values (1, U&'caf\\00e9')", database=latin) as f:
        f.start()
        f.source("insert into t values (2, U&'\\00fcber'); update t set x = x || U&'\\00df' where id = 1")
        f.level()
        assert f.new.sql("select id, x from t order by id", db=DATABASE) == [(1, "caféß"), (2, "über")]
        f.leat.run("stop")


def test_p18_bytes_that_are_no_text(server, migration):
    """A database that checks no encoding: doctor warns of it, bytes that are no text are refused by table and byte, never carried as they are."""
    with Followed(server, migration, 13, 17, "create table t (id int primary key, x text)", database="template template0 encoding 'SQL_ASCII' locale 'C'") as f:
        f.source("insert into t values (1, 'plain'), (2, E'caf\\xe9')")
        assert "SQL_ASCII" in str(f.leat.run("doctor").json["findings"])
        error = f.leat.run("run", "--yes", "--until", "replicate", check=1).json["error"]
        assert "public.t" in str(error) and "0xe9" in str(error), error
        assert f.one("select count(*) from t") == 0
        f.source("update t set x = E'caf\\xc3\\xa9' where id = 2")
        f.start()
        f.source("insert into t values (3, E'\\xc3\\xa9t\\xc3\\xa9')")
        f.level()
        assert f.new.sql("select id, x from t order by id", db=DATABASE) == [(1, "plain"), (2, "café"), (3, "été")]


def test_p35_timeouts_of_roles_and_databases(server, migration):
    """Every one there is, at a fifth of a second, for the role and for both databases, while a table is copied that takes longer."""
    slow = """create function slowly(int) returns bool language plpgsql as $$begin if current_setting('port') <> '%s' then perform pg_sleep(0.005); end if; return true; end$$;
              create table slow (id int primary key check (public.slowly(id))); insert into slow select generate_series(1, 400)"""
    with Followed(server, migration, 13, 17, T) as f:
        f.source(slow % f.old.port)
        for s, more in ((f.old, ()), (f.new, ("transaction_timeout",))):
            for setting in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", *more):
                s.sql(f"alter role postgres set {setting} = '200ms'; alter database {DATABASE} set {setting} = '200ms'")
            s.sql(f"alter database {DATABASE} set default_transaction_isolation = 'serializable'; alter database {DATABASE} set default_transaction_read_only = on")
        f.leat.run("start", "--yes")
        f.following()
        for s in (f.old, f.new):
            s.sql(f"begin read write; alter role postgres reset all; alter database {DATABASE} reset all; commit")
        f.source("insert into slow values (1000)", "update t set x = 'late'")
        f.equal()


@pytest.mark.parametrize("source", [13, 15])
def test_p25_p26_each_row_is_read_once(server, migration, source):
    """Large tables are copied in slices, none of which reads the whole table; bulk changes find their rows by the key."""
    with Followed(server, migration, source, 17, "create table large as select g as id, repeat('x', 500) as x, 0 as n from generate_series(1, 200000) g; alter table large add primary key (id); analyze large") as f:
        read = "select seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_user_tables where relname = 'large'"
        before = wait_for(lambda: f.old.one(read, db=DATABASE), 20, "what making its key has read")
        f.start()
        pages = f.one("select max(pages) from leat.copy where table_name = 'public.large'")
        assert pages if source >= 14 else not pages, "the table was to be large enough to be divided, where it can be"
        wait_for(lambda: f.old.one(read, db=DATABASE) >= before + 200000, 20, "the source's statistics")
        assert f.old.one(read, db=DATABASE) < before + 300000, "slices read more than their own"
        scans = "select seq_scan from pg_stat_user_tables where relname = 'large'"
        before = f.one(scans)
        f.leat.run("stop")
        for n in range(20):
            f.source(f"update large set n = n + {n} where id % 1000 = {n}", f"delete from large where id % 5000 = {n}")
        f.start()
        f.level()
        wait_for(lambda: f.one("select n_tup_upd from pg_stat_user_tables where relname = 'large'") > 2000, 20, "the target's statistics")
        assert f.one(scans) - before <= 1, "changes are applied by reading the whole table"
        f.equal()


def test_p29_truncate_while_it_is_read(server, migration):
    """Between snapshot and reading: whoever wants the table does not wait for long, and what it held does not come over."""
    slow = """create function slowly(int) returns bool language plpgsql as $$begin if current_setting('port') <> '%s' then perform pg_sleep(0.005); end if; return true; end$$;
              create table slow (id int primary key check (public.slowly(id)), x text);
              insert into slow select g, repeat('x', 7000) from generate_series(1, 2000) g; create table other (id int primary key, x text); insert into other select g, 'x' from generate_series(1, 100) g"""
    with Followed(server, migration, 13, 17) as f:
        f.source("alter table beat set (autovacuum_enabled = off);" + slow % f.old.port)
        f.leat.run("start", "--yes")
        wait_for(lambda: f.old.sql("select 1 from pg_stat_activity where query ~ '^COPY .*slow' and state = 'active'"), 40, "the copy", show=f.story)
        f.source("set statement_timeout = '5s'; begin; truncate slow; insert into slow values (1, 'new'); commit")
        f.source("set statement_timeout = '5s'; truncate other; insert into other values (7, 'new')")
        f.following()
        f.equal()
        assert f.one("select string_agg(x, '') from slow") == "new"


def waits_for_transaction(f):
    return f.old.sql("select 1 from pg_locks l join pg_stat_activity a using (pid) where l.locktype = 'transactionid' and not l.granted and a.query ~* 'replication_slot'")


@pytest.mark.parametrize("source,target", [(13, 17), (15, 18)])
def test_p15_p30_p31_committed_before_the_slot_and_seen_after_it(server, migration, source, target):
    """A commit that waits for its synchronous standby while the slot comes to be: not in the stream, and not yet in a snapshot. With
    thousands of subtransactions, of which no snapshot of a slot has room. Who is waited for is said."""
    with Followed(server, migration, source, target, T) as f:
        f.old.configure(synchronous_commit="local", synchronous_standby_names="nobody")
        f.old.restart()
        first, second, waiting = (f.old.conn(db=DATABASE) for _ in range(3))
        first.cursor().execute("insert into t values (1001, 'first')")
        job = f.leat.start_run("start", "--yes")
        wait_for(lambda: waits_for_transaction(f), 30, "the slot to wait for the first", show=f.story)
        second.cursor().execute("insert into t values (1002, 'second')")
        first.commit()
        wait_for(lambda: str(second.info.backend_pid) in f.story() and waits_for_transaction(f), 30, "the second to be waited for, and named", show=f.story)
        many = "".join(f"savepoint s; insert into t values ({n}, 'sub'); release s;" for n in range(2000, 4000))
        waiting.cursor().execute("set synchronous_commit = on;" + many)
        pid = waiting.info.backend_pid
        thread = threading.Thread(target=waiting.commit)
        thread.start()
        wait_for(lambda: f.old.one("select wait_event = 'SyncRep' from pg_stat_activity where pid = %s", (pid,)), 20, "the commit to wait for its standby")
        second.commit()
        wait_for(lambda: f.old.sql("select 1 from pg_replication_slots where confirmed_flush_lsn is not null"), 30, "the slot", show=f.story)
        wait_for(lambda: str(pid) in f.story(), 30, "the one that waits for its standby to be named", show=f.story)
        assert f.old.one("select count(*) from t where id >= 2000", db=DATABASE) == 0, "it is not to be seen yet"
        assert f.one("select to_regclass('public.t') is null"), "nothing is copied before it is"
        f.old.sql("select pg_cancel_backend(%s)", (pid,))   # it is committed, and now seen
        thread.join()
        job.wait()
        f.following()
        f.equal()
        assert f.one("select count(*) from t where id >= 2000") == 2000


def test_p24_a_second_leat_beside_one_that_is_paused(server, migration):
    """All of the first stands still; a second with a copy of its state, on the same machine, is refused, and changes nothing; then the first wakes."""
    with Followed(server, migration, 13, 17, T) as f:
        f.start()
        f.equal()
        second = migration(config=f.leat.config.read_text())
        frozen = f.leat.pids()
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            f.source("update t set x = 'while it stood still'")
            shutil.copytree(f.leat.state, second.state, ignore=shutil.ignore_patterns("*.sock"))
            refused = second.run("start", "--yes", check=False, timeout=60)
            assert refused.status == 4 and refused.json["error"]["code"] == "lease-held", refused   # the same machine: the first is seen to live
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        f.equal()


def test_p33_a_backend_that_outlives_its_engine(server, migration):
    """The engine dies, its backends on the target stand still, with a transaction or its COMMIT before them: a successor waits until they are gone."""
    with Followed(server, migration, 15, 17, T) as f:
        f.start()
        f.equal()
        lanes = f.new.sql("select pid from pg_stat_activity where application_name like 'leat%%' and datname = %s", (DATABASE,))
        engine = f.leat.pids("engine")
        for (pid,) in lanes:
            os.kill(pid, signal.SIGSTOP)
        try:
            f.source("update t set x = x || '.'", "insert into t values (1000, 'once'); delete from t where id = 5")
            for pid in engine:
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: set(f.leat.pids("engine")) - set(engine), 20, "another engine", show=f.story)
            wait_for(lambda: f.new.sql("select 1 from pg_stat_activity where application_name like 'leat%%' and pid <> all(%s)", ([p for (p,) in lanes],)), 20, "it to reach the target", show=f.story)
            assert f.one("select count(*) from t where id = 1000") == 0
        finally:
            for (pid,) in lanes:
                os.kill(pid, signal.SIGCONT)
        f.equal()
