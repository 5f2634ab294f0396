"""follow — what scenarios of copying and following share: a source under load, and the question whether both sides are equal.

    with Scene(server, migration, 13, 17, seed=1) as scene:
        scene.start()            # leat in the background
        scene.kill_engines(12)   # SIGKILL at random instants
        scene.wait_following()
        scene.finish()           # load stops, lag falls to nothing, comparison and ledger: must be clean
"""
import contextlib
import random
import subprocess
import threading

import psycopg2

import awkward
from compare import compare
from servers import bin_dir
from wait import wait_for
from workload import Workload

# CYCLE sequences move inside the switch only.
LEAT_TABLES = tuple(f"leat.{t}" for t in ("progress", "lease", "identity", "copy", "mark", "ddl", "ledger", "built", "scratch", "authority", "turn", "round"))
# Between a client's transactions, in seconds: what is tried are meetings of writes with kills and copies, and a machine that writes make busy has fewer of them.
PAUSE = 0.03


def pgbench(dsn, *args):
    subprocess.run([str(bin_dir(15) / "pgbench"), *map(str, args), dsn], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Scene:
    """One migration of one database under load, with a ledger outside it."""

    def __init__(self, server, migration, source, target, seed=1, scale=5, extra="", clients=3, awkwardly=True, truncate=0.001,
                 through=None, pause=PAUSE):
        """through(scene) gives the two DSNs that leat gets, where they are not those of the servers themselves."""
        self.random = random.Random(seed)
        self.old, self.new = server(source, "old"), server(target, "new")
        self.source, self.target = self.old.createdb("shop"), self.new.createdb("shop")
        pgbench(self.source, "-i", "-q", "-s", scale)
        self.dml, self.pause = None, pause
        self.outages = False   # True: the source may go away and come back under the awkward work
        if awkwardly:
            self._awkward(seed, source, truncate)
        self.load = Workload(self.source, clients=clients, seed=seed, pause=pause)
        self.load.create()
        self.leat = migration({"shop": through(self) if through else (self.source, self.target)}, extra=extra)
        self.stop_awkward = threading.Event()
        self.thread = None

    def _awkward(self, seed, major, truncate):
        conn = self.old.conn(db="shop", autocommit=True)
        conn.cursor().execute(awkward.schema(major))
        conn.close()
        self.dml = awkward.Dml(seed, major, truncate=truncate)
        conn = self.old.conn(db="shop")
        awkward.fill(conn, self.dml, 30)
        conn.commit()
        conn.close()

    def __enter__(self):
        self.load.start()
        if self.dml:
            self.thread = threading.Thread(target=self._work)
            self.thread.start()
        return self

    def __exit__(self, *_):
        self._quiet()
        self.leat.close()

    def _work(self):
        while not self.stop_awkward.is_set():
            try:
                with contextlib.closing(self.old.conn(db="shop")) as conn:
                    awkward.work(conn, self.dml, 10**9, self.stop_awkward, self.pause)
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                if not self.outages:
                    raise
                self.stop_awkward.wait(0.2)   # the source is away

    def quiet_awkward(self):
        """The awkward tables are at rest; the clients go on."""
        self.stop_awkward.set()
        if self.thread:
            self.thread.join()
            self.thread = None

    def _quiet(self):
        self.quiet_awkward()
        if not self.load.failed():
            self.load.stop()

    def start(self):
        self.leat.run("start", "--yes")

    def kill_engines(self, times):
        """SIGKILL to the engine at random instants; the pilot starts another."""
        for _ in range(times):
            wait_for(lambda: self.leat.pids("engine"), 60, "an engine to kill", show=self.story)
            threading.Event().wait(self.random.choice((0.05, 0.2, 0.6, 1.5)) * self.random.random())  # the instant is the point
            self.leat.kill9("engine")

    def arm_again(self):
        """The way on that a fault names, gone to its end."""
        self.leat.run("resume", "shop", "--arm-again", "--yes")
        self.leat.run("start", "--yes", check=False)   # unless the pilot is there
        self.load.wait_commits(50)
        self.leat.wait_status(lambda s: not s["stores"][0]["fault"] and s["stores"][0].get("following"), 60, "following")
        self.finish()

    def wait_following(self, deadline=120):
        return self.leat.wait_status(lambda s: s["phase"] not in ("build", "assess") and s["stores"][0].get("following"), deadline, "following")

    def story(self):
        return self.leat.run("status", check=False).out + self.leat.logs()

    def wait_level(self, deadline=60):
        """Until a change made now is on the target. The deadline counts anew while leat gets on: how far it is behind says nothing."""
        end = self.old.one("select pg_current_wal_insert_lsn()::text")
        self.old.sql("insert into load.account values (-1, -1, 0, 0)", db="shop")
        wait_for(lambda: self.new.one("select count(*) from load.account where client = -1", db="shop") == 1, deadline, f"the last change after {end}",
                 show=self.story,
                 moves=lambda: self.new.one("select (select position from leat.progress where stream like '%:forward' order by position desc limit 1)::text", db="shop"))
        self.old.sql("delete from load.account where client = -1", db="shop")
        wait_for(lambda: self.new.one("select count(*) from load.account where client = -1", db="shop") == 0, deadline, "its deletion")

    def finish(self):
        """Quiet, caught up, equal; the ledger kept by the clients agrees."""
        self._quiet()
        self.wait_level()
        problems = self.load.check(self.new.conn(db="shop"))
        assert not problems, problems
        found = compare(self.source, self.target, sequences=None, skip=LEAT_TABLES)
        assert not found, str(found)
        ledger = self.new.one("select count(*) from leat.ledger where settled is null", db="shop")
        assert ledger == 0, self.new.sql("select * from leat.ledger where settled is null limit 5", db="shop")
