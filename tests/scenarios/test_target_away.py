"""The target goes away: the stream goes on, onto this machine; the target comes back: it gets what it lacks, exactly."""
import contextlib
import os
import shutil
import signal
import threading

import pytest

from follow import Scene
from wait import wait_for

SLOT = "select confirmed_flush_lsn - '0/0' from pg_replication_slots where slot_name like 'leat%%'"


def written(scene):
    return scene.old.one("select pg_current_wal_lsn() - '0/0'")


def wait_away(scene):
    return scene.leat.wait_status(lambda s: s["stores"][0].get("target_away") and s["stores"][0]["running"], 30, "the target to be noticed as away")


def wait_kept(scene, position):
    """Until the source has been told that everything before the position is kept: its log may go."""
    wait_for(lambda: scene.old.one(SLOT) >= position, 40, f"the slot to pass {position}", show=lambda: f"{scene.old.one(SLOT)}" + scene.leat.logs())


def events(scene):
    return [e["kind"] for e in scene.leat.run("events").events if "kind" in e]


@pytest.mark.parametrize("source,target", [(13, 17), pytest.param(15, 15, marks=pytest.mark.slow)])
def test_stream_goes_on_while_the_target_is_away(server, migration, source, target):
    with Scene(server, migration, source, target, seed=11, truncate=0 if source < 14 else 0.001) as scene:
        scene.start()
        scene.wait_following()
        scene.load.wait_commits(100)
        scene.new.crash()
        wait_away(scene)
        scene.load.wait_commits(200)
        wait_kept(scene, written(scene))
        scene.kill_engines(3)
        scene.load.wait_commits(100)
        wait_kept(scene, written(scene))
        scene.new.start()
        scene.load.wait_commits(200)
        scene.wait_following()
        scene.kill_engines(2)
        scene.finish()
        wait_for(lambda: "backlog.applied" in events(scene), 30, "what was kept to be no longer needed", show=scene.leat.logs)
        assert {"target.away", "target.back"} <= set(events(scene))


def test_away_while_tables_are_copied(server, migration):
    with Scene(server, migration, 15, 17, seed=12, scale=20) as scene:
        scene.start()
        scene.leat.wait_status(lambda s: s["stores"][0].get("copy", {}).get("tables_done", 0) > 0, 60, "the first table")
        for _ in range(2):
            scene.new.crash()
            wait_away(scene)
            scene.load.wait_commits(100)
            wait_kept(scene, written(scene))
            scene.new.start()
            scene.leat.wait_status(lambda s: not s["stores"][0].get("target_away"), 30, "the target to be back")
        scene.wait_following()
        scene.finish()


def test_lost_in_the_middle_of_a_row(server, migration):
    """The source's COPY stands in the middle of a row when the target's session goes: what comes next is no message (and looks like one)."""
    with Scene(server, migration, 15, 17, seed=15, awkwardly=False) as scene:
        scene.old.sql("create table wide (id int primary key, a text); alter table wide alter a set storage external;"
                      "insert into wide select g, repeat('d', 4 * 1024 * 1024) from generate_series(1, 60) g", db="shop")
        scene.start()
        for _ in range(3):
            wait_for(lambda: scene.new.sql("select pid from pg_stat_activity where query ~ '^COPY .*wide' and state = 'active'"), 60, "the table to be copied", every=0.005)
            engine = scene.leat.pids("engine")
            scene.new.sql("select pg_terminate_backend(pid) from pg_stat_activity where query ~ '^COPY .*wide'")
            wait_for(lambda: not set(engine) & set(scene.leat.pids("engine")), 10, "the engine to end", show=scene.leat.logs)
        scene.wait_following()
        scene.finish()


def test_stopped_and_started_while_the_target_is_away(server, migration):
    with Scene(server, migration, 15, 17, seed=13) as scene:
        scene.start()
        scene.wait_following()
        scene.new.stop()
        wait_away(scene)
        scene.load.wait_commits(100)
        scene.leat.run("stop")
        scene.load.wait_commits(50)
        scene.leat.run("start", "--yes")
        wait_away(scene)
        wait_kept(scene, written(scene))
        scene.leat.run("stop")
        scene.new.start()
        scene.leat.run("start", "--yes")
        scene.wait_following()
        scene.finish()


@pytest.mark.trap("P1")
def test_lost_while_it_was_needed(server, migration):
    """What the source was told is kept must be there; if not, nothing goes on as if it were."""
    with Scene(server, migration, 15, 17, seed=14, awkwardly=False) as scene:
        scene.start()
        scene.wait_following()
        scene.new.stop()
        wait_away(scene)
        scene.load.wait_commits(100)
        wait_kept(scene, written(scene))
        scene.leat.run("stop")
        shutil.rmtree(scene.leat.state / "spool" / "shop.stream")
        scene.new.start()
        scene.leat.run("start", "--yes", check=False)   # it may have stopped before start returned, which start then says
        fault = scene.leat.wait_status(lambda s: s["stores"][0]["fault"], 30, "the store to stop")["stores"][0]["fault"]
        assert fault["code"] == "backlog-lost"
        assert "--arm-again" in fault["todo"]
        scene.arm_again()


@pytest.mark.trap("P20")
def test_target_restored_from_an_older_backup(server, migration):
    """What is kept reaches back to where the target was durable, not to where some backup of it was: that is refused."""
    with Scene(server, migration, 15, 17, seed=15, awkwardly=False) as scene:
        scene.start()
        scene.wait_following()
        backup = scene.new.basebackup("backup", standby=False, start=False)
        scene.load.wait_commits(200)
        durable = scene.old.one("select pg_current_wal_lsn() - '0/0'")
        wait_kept(scene, durable)
        scene.new.stop()
        wait_away(scene)
        scene.load.wait_commits(50)
        scene.leat.run("stop")
        backup.configure(port=scene.new.port)
        backup.port = scene.new.port
        backup.start()
        scene.leat.run("start", "--yes", check=False)   # it may have stopped before start returned, which start then says
        fault = scene.leat.wait_status(lambda s: s["stores"][0]["fault"], 30, "the store to stop")["stores"][0]["fault"]
        assert fault["code"] == "target-behind"


def stop_sender(scene):
    """The walsender, stopped when it may send and has not sent much: sooner the engine would wait for its word, later there would be nothing left to come."""
    with contextlib.closing(scene.old.conn(autocommit=True)) as conn, conn.cursor() as c:
        def look():
            c.execute("select pid, state from pg_stat_replication where application_name = 'leat: forward stream'")
            return c.fetchone()
        pid, _ = wait_for(look, 30, "a walsender", every=0.001)
        os.kill(pid, signal.SIGSTOP)
        while look() == (pid, "startup"):
            os.kill(pid, signal.SIGCONT)
            threading.Event().wait(0.0005)   # the instant is the point
            os.kill(pid, signal.SIGSTOP)
    return pid


@pytest.mark.trap("P2")
def test_a_slot_that_sends_again_what_was_kept(server, migration):
    """The source crashes, its slot falls back, and sends slowly: what the backlog held comes again behind it."""
    with Scene(server, migration, 15, 17, seed=13) as scene:
        scene.outages = True
        scene.start()
        scene.wait_following()
        scene.new.stop()
        wait_away(scene)
        for _ in range(6):   # its place is saved now and then: not always behind what was acknowledged
            scene.load.wait_commits(100)
            wait_kept(scene, written(scene))
            kept = scene.old.one(SLOT)
            scene.old.crash()
            scene.leat.run("stop")
            scene.old.start()
            if scene.old.one(SLOT) < kept:
                break
            scene.start()
        assert scene.old.one(SLOT) < kept, "the slot did not fall back: nothing is tried here"
        scene.new.start()
        scene.start()
        sender = stop_sender(scene)
        try:
            wait_for(lambda: "backlog.applied" in events(scene), 50, "the backlog to be left", show=scene.leat.logs)
        finally:
            os.kill(sender, signal.SIGCONT)
        scene.load.wait_commits(100)
        scene.finish()
        assert "came a second time" in scene.leat.logs(10**8)
