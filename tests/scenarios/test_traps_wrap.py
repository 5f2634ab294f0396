"""Trap P23 (docs/traps.md): a source whose 32-bit transaction numbers begin anew while it is copied and followed."""
import subprocess

import servers
from followed import DATABASE, Followed
from wait import wait_for

WRAP = 1 << 32
EACH_SEGMENT = 1 << 20   # transactions, of pg_xact
HELD = """create function let_in(int) returns bool language plpgsql as $$begin if current_setting('port') <> '%s' then
              while not pg_try_advisory_xact_lock_shared(23) loop perform pg_sleep(0.01); end loop; end if; return true; end$$;
          create table held (id int primary key check (public.let_in(id)), x text); insert into held select g, 'x' from generate_series(1, 600) g"""
NOW = "select txid_current()"


def as_old_as(server, xid):
    """Its next transaction has that number. What is in it is frozen before, so that nothing of it seems to come from the future."""
    server.sql("update pg_database set datallowconn = true")
    for (name,) in server.sql("select datname from pg_database"):
        server.sql("vacuum freeze", db=name)
    server.stop()
    as_user = servers._as_user()
    subprocess.run([*as_user, str(servers.bin_dir(server.major) / "pg_resetwal"), "-x", str(xid), "-D", str(server.data)], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*as_user, "dd", "if=/dev/zero", f"of={server.data}/pg_xact/{xid // EACH_SEGMENT:04X}", "bs=8192", "count=32"], check=True, stderr=subprocess.DEVNULL)
    server.start()


def pass_the_wrap(f):
    """Small transactions until the numbers have begun anew."""
    f.source("do $$begin perform set_config('synchronous_commit', 'off', false); while txid_current() < 4294967296 + 50 loop update t set n = n + 1 where id = 1 + n % 100; commit; end loop; end$$")


def test_p23_copied_and_followed_over_the_wrap(server, migration):
    """A snapshot from before it, changes from after, and from a transaction that lasted over it; then a snapshot from after it."""
    def near_the_wrap(major, name, *args):
        one = server(major, name, *args)
        if name == "old":
            as_old_as(one, WRAP - 1000)
        return one
    with Followed(near_the_wrap, migration, 15, 17, "create table t (id int primary key, n int, x text); insert into t select g, 0, 'x' from generate_series(1, 200) g") as f:
        f.source(HELD % f.old.port)
        door = f.new.conn(db=DATABASE)
        door.cursor().execute("select pg_advisory_lock(23)")
        f.leat.run("start", "--yes")
        wait_for(lambda: f.new.sql("select 1 from pg_stat_activity where query ~ '^COPY .*held' and state = 'active'"), 40, "the copy", show=f.story)
        assert f.old.one(NOW) < WRAP
        open_long = f.old.conn(db=DATABASE)
        open_long.cursor().execute("update held set x = 'from before' where id > 590; update t set x = 'from before' where id > 190; insert into t values (1000, 0, 'from before')")
        f.source("update held set x = 'before' where id < 10")
        pass_the_wrap(f)
        f.source("update held set x = 'after' where id < 5", "delete from held where id = 100", "insert into held values (1000, 'after')")
        assert f.one("select count(*) from leat.copy where table_name = 'public.held' and copied") == 0
        door.close()
        open_long.commit()
        f.following()
        f.equal()
        f.leat.run("resume", DATABASE, "--copy-again", "public.t", "--yes")
        f.source("update t set x = 'after' where id = 5")
        wait_for(lambda: f.one("select count(*) from leat.copy where table_name = 'public.t' and joined is not null and attempt = 2") == 1, 40, "the table to be copied again", show=f.story)
        f.source("update t set x = 'last' where id = 6")
        f.following()
        f.equal()
        assert f.one("select count(*) from t where x = 'from before'") == 11 and f.one("select count(*) from held where x in ('from before', 'after')") == 15
        f.leat.run("verify")
