"""A live database is copied and followed, exactly: under load, with awkward types, across majors, and whatever is killed."""
import contextlib

import psycopg2
import psycopg2.extras
import pytest

from follow import Scene
from followed import Followed
from wait import wait_for

PAIRS = [(13, 17), (10, 15), (15, 15), (15, 18)]


@pytest.mark.trap("P3", "P9", "P16", "P19")
@pytest.mark.parametrize("source,target", PAIRS)
def test_copies_and_follows_under_load(server, migration, source, target):
    with Scene(server, migration, source, target, seed=source * 100 + target) as scene:
        scene.start()
        scene.wait_following()
        scene.load.wait_commits(200)
        scene.finish()


@pytest.mark.trap("P1", "P33")
@pytest.mark.parametrize("source,target", [(13, 17), pytest.param(15, 15, marks=pytest.mark.slow)])
def test_engine_killed_at_any_instant(server, migration, source, target):
    # PostgreSQL 13 itself cannot always decode a TRUNCATE again after a restart ("could not map filenode"): see docs/traps.md
    with Scene(server, migration, source, target, seed=7, scale=20, truncate=0 if source < 14 else 0.001) as scene:
        scene.start()
        scene.kill_engines(6)
        scene.wait_following(200)
        scene.kill_engines(3)
        scene.wait_following(100)
        scene.finish()


def test_run_until_replicate_ends_and_goes_on(server, migration):
    with Scene(server, migration, 13, 17, seed=3, awkwardly=False) as scene:
        answer = scene.leat.run("run", "--until", "replicate", "--yes").json
        assert answer["ok"] and answer["command"] == "run"
        assert scene.leat.pids() == []  # what it ran stops with it
        scene.load.wait_commits(100)
        scene.start()
        scene.wait_following()
        scene.finish()


def test_interrupted_run_resumes(server, migration):
    with Scene(server, migration, 15, 17, seed=4, scale=10, awkwardly=False) as scene:
        job = scene.leat.start_run("run", "--until", "replicate", "--yes")
        scene.leat.wait_status(lambda s: s["stores"][0].get("copy", {}).get("bytes_done", 0) > 0, 60, "the copy to begin")
        job.interrupt(check=5)
        assert scene.leat.pids() == []
        scene.start()
        scene.wait_following()
        scene.finish()


@pytest.mark.parametrize("name,others", [("leat: forward stream", False), ("somebody", True)])
def test_a_walsender_left_behind_holds_the_slot(server, migration, name, others):
    """Our own, of an engine that was killed: ended. Somebody else's: named, and waited for."""
    with Scene(server, migration, 15, 17, awkwardly=False) as scene:
        scene.start()
        scene.wait_following()
        slot = scene.old.one("select slot_name from pg_replication_slots")
        scene.leat.run("stop")
        conn = psycopg2.connect(scene.source, application_name=name, connection_factory=psycopg2.extras.LogicalReplicationConnection)
        cur = conn.cursor()
        wait_for(lambda: not scene.old.one("select active from pg_replication_slots"), 30, "the slot to be free")
        cur.start_replication(slot, options={"proto_version": "1", "publication_names": slot})
        scene.start()
        if others:
            wait_for(lambda: "is active for PID" in scene.leat.logs(), 40, "the holder to be named", show=scene.leat.logs)
            assert scene.old.one("select active from pg_replication_slots")
            conn.close()
        scene.load.wait_commits(50)
        scene.finish()
        conn.close()


def test_a_large_transaction_holds_up_nothing_before_it(server, migration):
    """The last of many small ones, which comes in one parcel with the first part of a large one, is there at once, however long that takes."""
    with Followed(server, migration, 15, 17, "create table small (n int primary key); create table large (n int primary key, x text)") as f:
        f.start()
        f.level()
        f.leat.run("stop")
        with contextlib.closing(f.old.conn("shop")) as large:   # all of it is in the log before the small ones, and its commit right behind them
            large.cursor().execute("insert into large select g, repeat('x', 500) from generate_series(1, 10000) g")
            f.source("do $$begin for n in 1..1000 loop insert into small values (n); commit; end loop; end$$")
            large.commit()
        with contextlib.closing(f.new.conn("shop")) as blocker:
            blocker.cursor().execute("lock table large in exclusive mode")
            f.leat.run("start", "--yes")
            wait_for(lambda: f.one("select count(*) from small") == 1000, 20, "the small ones", show=f.story)
        f.equal()
