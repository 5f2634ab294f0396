"""Stay verified: after a comparison of all, what is touched is compared again by itself; nothing else is read, nothing is forgotten."""
import contextlib
import os
import random
import shutil
import signal
import threading
import time

import psycopg2

from follow import Scene
from followed import Followed
from wait import TooLate, wait_for, wait_gone


def stay(leat):
    return (leat.status("shop")["verified"] or {}).get("stay") or {}


def gate(leat):
    return next(g for g in leat.run("status").json["gates"] if g["name"] == "verify")


def wait_round(leat, what="a round"):
    """Until everything touched before now is compared."""
    asked = time.time_ns() // 1000
    return wait_for(lambda: (s := stay(leat)) and s["at_us"] > asked and not s["why"] and s, 60, what, show=lambda: str(leat.status("shop")["verified"]) + leat.logs())


def test_touched_rows_are_compared_again_under_load(server, migration):
    """Every awkward type among the keys, engines killed; no false alarm, and never the whole again."""
    with Scene(server, migration, 13, 17, seed=51, scale=5, clients=4) as scene:
        scene.start()
        scene.wait_following()
        assert gate(scene.leat)["why"].startswith("never compared")
        assert scene.leat.run("verify").json["ok"]
        assert wait_round(scene.leat)["keys"] > 0
        before = scene.leat.status("shop")["verified"]["at_us"]
        instants = random.Random(51)
        for _ in range(2):
            threading.Event().wait(3 * instants.random())   # the instant is the point
            scene.leat.kill9("engine")
            wait_for(lambda: scene.leat.pids("engine"), 30, "an engine")
            assert wait_round(scene.leat)["keys"] > 0
        verified = scene.leat.status("shop")["verified"]
        assert verified["clean"] and verified["at_us"] == before and verified["at"] > "20", verified
        assert wait_for(lambda: (g := gate(scene.leat))["ok"] and g, 30, "the gate", show=lambda: str(gate(scene.leat)))
        scene.finish()
        assert not [e for e in scene.leat.run("events").events if e.get("kind") == "verify.stay"]


T = """create table t (id int primary key, x text, n int default 0); insert into t select g, 'a' || g, 0 from generate_series(1, 20000) g;
       create table pair (a text, b numeric, x text, primary key (a, b)); insert into pair select 'it''s ' || g, g / 8.0, 'x' from generate_series(1, 2000) g;
       create table bare (x int); insert into bare select generate_series(1, 100);
       create table large (id int primary key, x text); insert into large select g, repeat('x', 700) from generate_series(1, 60000) g; analyze"""
SPOIL = """create or replace function spoil() returns trigger language plpgsql as $$begin new.x := 'spoilt'; return new; end$$;
           create trigger spoil before insert or update on {0} for each row when (new.x = 'late') execute function spoil(); alter table {0} enable always trigger spoil"""


def differing(f):
    v = f.leat.status("shop")["verified"] or {"differing": [], "clean": None}   # an engine that has just begun
    return {d["table"]: d["differences"] for d in v["differing"]}, v["clean"]


def test_what_the_stream_spoils_is_found(server, migration):
    """Rows that come out otherwise on the target are found by key, in any key, without one, after a TRUNCATE; and no others."""
    with Followed(server, migration, 15, 18, T) as f:
        f.start()
        assert f.leat.run("verify").json["ok"]
        wait_round(f.leat)
        f.source("insert into t values (30000, 'new'); delete from t where id = 7; update t set id = 30001 where id = 8; update pair set x = 'y' where b < 3; insert into bare values (1)")
        f.level()
        found = wait_round(f.leat)
        assert differing(f) == ({}, True) and found["keys"] >= 3, found
        f.new.sql("set session_replication_role = replica; update large set x = 'nobody sees it' where id = 5", db="shop")
        for table in ("t", "pair"):
            f.new.sql(SPOIL.format(table), db="shop")
        f.source("update t set x = 'late' where id in (11, 12)", "update pair set x = 'late' where b = 3", "update large set x = 'z' where id = 9")
        f.level()
        wait_for(lambda: differing(f) == ({"public.t": 2, "public.pair": 1}, False), 40, "both", show=lambda: str(differing(f)))
        event = next(e for e in f.leat.run("events").events if e.get("kind") == "verify.stay")
        rows = {t["table"]: sorted(str(r["key"]) for r in t["rows"]) for t in event["body"]["tables"]}
        assert rows["public.t"] == ["{'id': '11'}", "{'id': '12'}"], rows
        why = gate(f.leat)
        assert not why["ok"] and "3 rows differ, of 2" in why["why"], why
        f.new.sql("drop function spoil cascade", db="shop")
        f.leat.run("repair")
        f.leat.run("repair", "--apply")
        wait_for(lambda: differing(f) == ({}, True), 40, "clean again", show=lambda: str(differing(f)))

        # Its shape is another: as a whole, and large, it waits for its turn, and then the row nobody saw is seen (of a table without a key: one missing, one extra).
        f.leat.run("stop")
        f.source("alter table large replica identity full")
        f.start()
        wait_for(lambda: differing(f) == ({"public.large": 2}, False), 60, "the large table, whole", show=lambda: str(f.leat.status("shop")["verified"]))


def test_what_is_not_known_is_said(server, migration):
    """Notes that are gone: it says so, and a comparison of all begins it anew."""
    with Followed(server, migration, 13, 17, T) as f:
        f.start()
        assert f.leat.run("verify").json["ok"]
        wait_round(f.leat)
        f.leat.run("stop")
        shutil.rmtree(f.leat.state / "touched")
        f.source("update t set x = 'y' where id = 3")
        f.start()
        f.level()
        wait_for(lambda: "not known" in gate(f.leat)["why"], 30, "the gate to say it", show=lambda: str(gate(f.leat)))
        assert not gate(f.leat)["ok"] and f.leat.status("shop")["verified"]["clean"]
        assert f.leat.run("verify").json["ok"]
        wait_round(f.leat)
        assert gate(f.leat)["ok"]
        f.equal()


def test_rows_that_come_with_a_change_of_the_schema(server, migration):
    """They go another way than all others, and are compared again all the same; what was altered, whole."""
    with Followed(server, migration, 13, 17, T) as f:
        f.leat.write(f.leat.config.read_text().replace("    engine: postgresql\n", "    engine: postgresql\n    ddl: apply\n"))
        f.start()
        assert f.leat.run("verify").json["ok"]
        wait_round(f.leat)
        f.new.sql("set session_replication_role = replica; update pair set x = 'nobody sees it' where b = 5", db="shop")
        f.new.sql(SPOIL.format("t"), db="shop")
        f.source("begin; update t set x = 'late' where id = 11; alter table pair add column more int; insert into pair values ('new', 1, 'x', 1); commit")
        f.level()
        wait_for(lambda: differing(f) == ({"public.t": 1, "public.pair": 1}, False), 60, "both", show=lambda: str(f.leat.status("shop")["verified"]) + f.leat.logs())
        f.leat.run("stop")


# The applier's first session is the one that a cut borrows.
SPOIL_CUTS = """create function spoil() returns trigger language plpgsql as
               $$begin if exists (select from leat.progress where lane = 'a0' and xmin::text = (txid_current() % (1::bigint << 32))::text) then new.x := 'spoilt'; end if; return new; end$$;
               create trigger spoil before insert on t for each row execute function spoil(); alter table t enable always trigger spoil"""
ONE_BY_ONE = "do $$begin for n in 1..100000 loop insert into t values (n + {0} * 100000, 'x'); commit; perform pg_sleep(0.005); end loop; end$$"


def test_killed_between_a_cut_and_the_return_of_what_it_took(server, migration):
    """What only a cut has applied, and the target made something else of, is compared by the engine that comes after it."""
    with Followed(server, migration, 15, 17, "create table t (id int primary key, x text); create table quiet (id serial primary key)") as f, contextlib.ExitStack() as stack:
        f.start()
        assert f.leat.run("verify").json["ok"]

        def write(conn, nth):
            with contextlib.suppress(psycopg2.Error):   # until it is ended
                conn.cursor().execute(ONE_BY_ONE.format(nth))
        for nth in range(4):
            conn = f.old.conn("shop", autocommit=True)
            load = threading.Thread(target=write, args=(conn, nth))
            load.start()
            stack.callback(load.join)
            stack.callback(f.old.sql, "select pg_terminate_backend(%s)", (conn.info.backend_pid,))

        def stands():   # a cut that has applied what its snapshot sees, and cannot take the target's
            return f.one("select count(*) from pg_stat_activity where application_name = 'leat: cut' and wait_event_type = 'Lock'") and spoilt()

        def spoilt():
            return f.one("select count(*) from t where x = 'spoilt'")

        def as_before():   # a table known to differ is left alone until it is mended
            f.new.sql("drop function if exists spoil cascade", db="shop")
            f.new.sql("update t set x = 'x' where x = 'spoilt'", db="shop")
            assert f.leat.run("verify").json["ok"]

        with contextlib.closing(f.new.conn("shop")) as holder:
            for _ in range(5):   # a round may have come in between
                f.source("insert into quiet default values")
                f.level()
                holder.cursor().execute("lock table quiet")
                f.new.sql(SPOIL_CUTS, db="shop")
                engine, = f.leat.pids("engine")
                with contextlib.suppress(TooLate):
                    wait_for(stands, 12, "a cut", every=0.02)
                    if differing(f)[0] == {}:
                        os.kill(engine, signal.SIGKILL)
                        break
                holder.rollback()
                as_before()
            wait_gone(engine, 10)
            f.new.sql("drop function spoil cascade", db="shop")
        f.following()
        wait_for(lambda: differing(f) == ({"public.t": spoilt()}, False), 60, f"all {spoilt()}", show=lambda: str(differing(f)) + f.story())
