"""The faults of tests/lib/faults.py, each in each of its phases: what comes of it is what stands there, and at the end both sides are equal."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import time

import psycopg2
import pytest

import faults
from faults import BUILD, COPY, FOLLOW
from follow import Scene
from misfortune import Clock, Crowd, Disk, fail_over, take_address
from proxy import Proxy
from servers import popen_mortal
from wait import wait_for

SILENCE = "limits:\n  silence: 5s\n"
NOTICED = 15   # seconds; the connections of these tests give up a silent peer after three


@contextlib.contextmanager
def networked(server, migration, source=15, target=17, **more):
    """A Scene whose leat reaches both servers through proxies: scene.net_source, scene.net_target."""
    with contextlib.ExitStack() as stack:
        def through(scene):
            scene.net_source, scene.net_target = (stack.enter_context(Proxy(s.port)) for s in (scene.old, scene.new))
            return scene.net_source.dsn(scene.source), scene.net_target.dsn(scene.target)
        yield stack.enter_context(Scene(server, migration, source, target, through=through, **{"scale": 1, "awkwardly": False, "extra": SILENCE, **more}))


def wait_ready(scene, phase):
    """An engine that works in that phase; the processes that are to end by the fault. What an engine before it left in its status counts for nothing."""
    def ready():
        engines, status = scene.leat.pids("engine"), scene.leat.status()["stores"][0]
        return engines if engines == [status.get("pid")] and READY[phase](scene, status) else None
    return wait_for(ready, 40, f"an engine {phase}", show=scene.story)


def wait_noticed(scene, before):
    wait_for(lambda: not set(before) & set(scene.leat.pids("engine")), NOTICED, "the engine to notice", show=scene.story)


def copies(scene, status):
    assert not status.get("following"), "the copy came to its end before the faults did"
    return status["phase"] == "copy" and scene.new.sql("select 1 from pg_stat_activity where query ~ '^COPY .*wide' and state = 'active'")


READY = {
    BUILD: lambda scene, status: status["phase"] == "build",
    COPY: copies,
    FOLLOW: lambda scene, status: status.get("following"),
}


def wait_said(scene, fault, since):
    """In the logs, after the first `since` characters of them; and in `leat status`."""
    wait_for(lambda: re.search(fault.said, scene.leat.logs(10**8)[since:]), 2 * NOTICED, f"leat to say {fault.said}", show=scene.story)

    def shown():
        store = scene.leat.status()["stores"][0]
        return re.search(fault.said, str(store["fault"] or store["trouble"]))
    wait_for(shown, NOTICED, f"status to say {fault.said}", show=scene.story)


def carry_out(scene, phase, fault):
    """A new pilot at the end: one that has seen no failure yet starts an engine again without a pause."""
    before = wait_ready(scene, phase)
    began, said = time.monotonic(), len(scene.leat.logs(10**8))
    fault.do(scene)
    if fault.said:
        wait_said(scene, fault, said)
    if not fault.quietly:
        wait_noticed(scene, before)
    noticed = time.monotonic()
    if fault.undo:
        fault.undo(scene)
    if phase == FOLLOW:
        scene.wait_level(20)
    print(f"    {phase}: {fault.name}: noticed after {noticed - began:.1f} s, done after {time.monotonic() - began:.1f} s", flush=True)
    scene.leat.kill9("pilot")
    scene.start()


def of_phase(among, phase):
    return [f for f in among if phase in f.outcome]


# ---- one after the other, in each phase ---------------------------------------------------------------------------

WIDE = ("create table wide{0} as select g id, (select string_agg(md5((g + n * random())::text), '') from generate_series(1, 32) n) a"
        " from generate_series(1, {1}) g; alter table wide{0} add primary key (id)")


def slowed(scene, tables=8, rows=1500):
    """Tables that take long to read: so many that the copy lasts for all its faults."""
    for n in range(tables):
        scene.old.sql(WIDE.format(n, rows), db="shop")
    scene.net_source.slow(rate=1_000_000)


def carry_out_all(scene, phase):
    """Those of the network, while it is slow; then at its own speed to the end."""
    scene.start()
    for fault in of_phase(faults.NETWORK, phase):
        carry_out(scene, phase, fault)
    scene.net_source.slow()
    scene.wait_following()
    scene.finish()


def test_building_with_a_failing_network(server, migration):
    with networked(server, migration, seed=63) as scene:
        scene.net_source.slow(delay=0.01)
        carry_out_all(scene, BUILD)


@pytest.mark.limit(900)
def test_copying_with_a_failing_network(server, migration):
    with networked(server, migration, seed=62) as scene:
        slowed(scene)
        carry_out_all(scene, COPY)


@pytest.mark.limit(900)
def test_following_with_a_failing_network(server, migration):
    with networked(server, migration, seed=61) as scene:
        scene.start()
        for fault in of_phase((*faults.NETWORK, faults.SLOW), FOLLOW):
            carry_out(scene, FOLLOW, fault)
        scene.finish()


def test_a_stream_that_answers_no_more(server, migration):
    """The source gives it up, and says so to nobody who would pass it on; its own view of the slot tells."""
    with networked(server, migration, seed=69) as scene:
        scene.old.sql("alter system set wal_sender_timeout = '2s'")
        scene.old.sql("select pg_reload_conf()")
        scene.start()
        scene.wait_following()
        before, since = wait_ready(scene, FOLLOW), len(scene.leat.logs(10**8))
        assert scene.net_source.hold("forward stream") == 1
        wait_noticed(scene, before)
        assert "streams to nobody" in scene.leat.logs(10**8)[since:], scene.story()
        scene.finish()


@contextlib.contextmanager
def troubled(server, migration, folder, **more):
    """A Scene for faults.SERVERS."""
    with networked(server, migration, **more) as scene:
        scene.clock = Clock(folder)
        scene.leat.env.update(scene.clock.env)
        scene.crowd_source, scene.crowd_target = Crowd(scene.old), Crowd(scene.new)
        yield scene


@pytest.mark.slow
def test_building_with_failing_servers(server, migration, tmp_path):
    with troubled(server, migration, tmp_path, seed=64) as scene:
        scene.net_source.slow(delay=0.01)
        scene.start()
        for fault in of_phase(faults.SERVERS, BUILD):
            carry_out(scene, BUILD, fault)
        scene.net_source.slow()
        scene.wait_following()
        scene.finish()


@pytest.mark.slow
def test_copying_with_failing_servers(server, migration, tmp_path):
    with troubled(server, migration, tmp_path, seed=65) as scene:
        slowed(scene)
        scene.start()
        for fault in of_phase(faults.SERVERS, COPY):
            carry_out(scene, COPY, fault)
        scene.net_source.slow()
        scene.wait_following()
        scene.finish()


@pytest.mark.limit(900)
def test_following_with_failing_servers(server, migration, tmp_path):
    with troubled(server, migration, tmp_path, seed=66) as scene:
        scene.start()
        for fault in of_phase(faults.SERVERS, FOLLOW):
            carry_out(scene, FOLLOW, fault)
        scene.finish()


# ---- one by one ---------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def on_small_disk(server, migration, which, seed):
    """A Scene one of whose databases stands on scene.disk."""
    with contextlib.ExitStack() as stack:
        def with_disk(major, name):
            one = server(major, name)
            if name == which:
                disk.append(stack.enter_context(Disk(one)))
                stack.callback(one.stop, "immediate")
            return one
        disk = []
        with networked(with_disk, migration, seed=seed) as scene:
            scene.disk = disk[0]
            yield scene


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted by root only")
def test_target_out_of_disk(server, migration):
    with on_small_disk(server, migration, "new", 67) as scene:
        slowed(scene, tables=4)
        scene.old.sql("create table grown (id bigserial primary key, a text)", db="shop")
        scene.grow = lambda: scene.old.sql("insert into grown (a) select string_agg(md5(random()::text), '') from generate_series(1, 200000) n group by n % 200", db="shop")
        scene.start()
        carry_out(scene, COPY, faults.TARGET_DISK)
        scene.net_source.slow()
        carry_out(scene, FOLLOW, faults.TARGET_DISK)
        scene.finish()


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted by root only")
def test_source_out_of_disk(server, migration):
    with on_small_disk(server, migration, "old", 68) as scene:
        def use_up():
            with pytest.raises(psycopg2.errors.DiskFull):
                for _ in range(10000):
                    scene.old.sql("insert into leat.progress (migration, stream, lane, position, token) select 'nobody''s', repeat('x', 50), '', '0/0', 0", db="shop")
        scene.use_up = use_up
        scene.start()
        carry_out(scene, FOLLOW, faults.SOURCE_DISK)
        scene.finish()


def wait_stopped(scene, code):
    stopped = scene.leat.wait_status(lambda s: (s["stores"][0]["fault"] or {}).get("code") == code, 40, f"the store to stop with {code}")
    return stopped["stores"][0]["fault"]


def arm_again(scene, code):
    """What the fault says is the way on, is."""
    fault = wait_stopped(scene, code)
    assert "--arm-again --yes" in fault["todo"], fault
    scene.arm_again()


@contextlib.contextmanager
def following(server, migration, seed, source=15, target=17):
    with Scene(server, migration, source, target, seed=seed, scale=1, awkwardly=False) as scene:
        scene.start()
        scene.wait_following()
        yield scene


def test_source_failed_over(server, migration):
    with following(server, migration, 71) as scene:
        fail_over(scene)
        assert "timeline" in wait_stopped(scene, "server-changed")["why"]
        arm_again(scene, "server-changed")


def test_target_restored(server, migration):
    with following(server, migration, 72) as scene:
        backup = scene.new.basebackup("backup", standby=False, start=False)
        scene.load.wait_commits(200)
        let_go = scene.old.one("select pg_current_wal_lsn() - '0/0'")   # what the source still has is simply sent again
        wait_for(lambda: scene.old.one("select confirmed_flush_lsn - '0/0' from pg_replication_slots") >= let_go, 30, "the slot to pass it", show=scene.story)
        scene.new.stop()
        take_address(scene, "new", backup)
        arm_again(scene, "target-behind")


def test_slot_recreated(server, migration):
    with following(server, migration, 73, source=13) as scene:
        scene.leat.run("stop")
        scene.load.wait_commits(50)
        wait_for(lambda: not scene.old.one("select active from pg_replication_slots"), 20, "the slot to be free")
        name = scene.old.one("select slot_name from pg_replication_slots")
        scene.old.sql(f"select pg_drop_replication_slot('{name}')")
        scene.old.sql(f"select pg_create_logical_replication_slot('{name}', 'pgoutput')", db="shop")
        scene.leat.run("start", "--yes", check=False)
        arm_again(scene, "slot-foreign")


def test_a_copy_of_the_state_folder(server, migration):
    """As on another machine: there its record of who works is out of date."""
    with following(server, migration, 74) as scene:
        scene.leat.run("stop")
        other = migration(config=scene.leat.config.read_text())
        shutil.copytree(scene.leat.state, other.state)
        confirmed = "select confirmed_flush_lsn from pg_replication_slots"
        then = scene.old.one(confirmed)
        scene.start()
        engines = wait_ready(scene, FOLLOW)
        wait_for(lambda: scene.old.one(confirmed) != then, 30, "the slot to move on", show=scene.story)
        for _ in range(4):   # each time its own record has a newer token, until it is the newest of both
            refused = other.run("run", "--yes", "--until", "replicate", check=False).json["error"]
            assert refused["code"] == "slot-foreign" and "old copy" in refused["why"] and other.pids() == [], refused
        assert scene.leat.pids("engine") == engines
        scene.load.wait_commits(50)
        scene.finish()


# ---- at every write to the journal --------------------------------------------------------------------------------

WRITES = "pwrite64,fdatasync,fsync"


def traces():
    """Whether this machine lets a process be traced (a container may not)."""
    return shutil.which("strace") and subprocess.run(["strace", "-o", "/dev/null", "true"], check=False, stderr=subprocess.DEVNULL).returncode == 0


def killed_at(scene, nth, *command):
    """Starts it: that process, and none it starts, gets SIGKILL as one of its threads begins its nth write to the journal."""
    journal = [x for name in ("journal.db", "journal.db-wal") for x in ("-P", str(scene.leat.state / name))]
    trace = ["strace", "-f", "-b", "execve", "-qqq", "-o", "/dev/null", *journal, "-e", f"trace={WRITES},execve", "-e", f"inject={WRITES}:signal=KILL:when={nth}"]
    return popen_mortal([*trace, *scene.leat.command(*command)], cwd=scene.leat.folder, env=scene.leat.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_at_writes(scene, numbers, *command):
    """One after the other, until one lives to follow. How many were killed."""
    killed = 0
    for nth in numbers:
        process = killed_at(scene, nth, *command)

        def follows():
            status = scene.leat.run("status", check=False)
            return status.status == 0 and status.json["stores"][0].get("following") and status.json["stores"][0].get("pid") in scene.leat.pids("engine")
        wait_for(lambda process=process, follows=follows: process.poll() is not None or follows(), 60, f"an end at write {nth}, or following", show=scene.story)
        killed += process.poll() == -signal.SIGKILL
        if process.poll() in (None, 0):
            break
        wait_for(lambda: not scene.leat.pids("engine"), 20, "its engine to end")
    scene.leat.kill9()
    return killed


def journal_scene(server, migration, seed):
    return Scene(server, migration, 15, 17, seed=seed, scale=1, awkwardly=False, clients=2)


def engines_killed(server, migration, numbers):
    with journal_scene(server, migration, 75) as scene:
        job = scene.leat.start_run("run", "--yes", "--until", "replicate")   # makes the folders and the journal
        wait_for(lambda: scene.leat.pids("engine"), 20, "an engine", every=0.005)
        job.kill9()
        wait_for(lambda: not scene.leat.pids("engine"), 20, "it to end")
        killed = kill_at_writes(scene, numbers, "engine", "shop", "--token", "1", "--yes")
        print(f"    engine killed at {killed} writes to the journal", flush=True)
        assert killed > 5
        scene.start()
        scene.wait_following()
        scene.finish()


def pilots_killed(server, migration, numbers):
    with journal_scene(server, migration, 76) as scene:
        killed = kill_at_writes(scene, numbers, "run", "--yes", "--until", "replicate")
        print(f"    pilot killed at {killed} writes to the journal", flush=True)
        assert killed > 3
        scene.start()
        scene.wait_following()
        scene.finish()


needs_strace = pytest.mark.skipif(not traces(), reason="no process may be traced here")


@needs_strace
def test_engine_killed_at_journal_writes(server, migration):
    engines_killed(server, migration, range(1, 60, 4))


@needs_strace
def test_pilot_killed_at_journal_writes(server, migration):
    pilots_killed(server, migration, range(1, 30, 3))


@needs_strace
@pytest.mark.slow
@pytest.mark.limit(900)
@pytest.mark.parametrize("who", [engines_killed, pilots_killed])
def test_killed_at_every_journal_write(server, migration, who):
    who(server, migration, range(1, 200))
