"""Everything at once, for long: SOAK_MINUTES (30) of load while engines, pilots and servers die; exact at the end. SOAK_SEED repeats
a choice of acts (their instants differ)."""
import os
import random
import time

import psycopg2
import pytest

from follow import Scene
from memory import Peaks
from wait import TooLate, wait_for

MINUTES = float(os.environ.get("SOAK_MINUTES", "30"))
SEED = int(os.environ.get("SOAK_SEED", random.SystemRandom().randrange(10**6)))


class Soak:
    def __init__(self, scene):
        self.scene, self.random, self.long = scene, random.Random(SEED), None
        self.comparing, self.compared, self.planted, self.stayed = None, 0, 0, 0
        self.acts = [(10, self.kill_engine), (2, self.kill_pilot), (2, self.kill_holder), (3, self.crash_target), (3, self.restart_target), (2, self.target_away), (2, self.restart_source),
                     (2, self.crash_source), (2, self.stop_and_start), (4, self.big_transaction), (4, self.long_transaction), (2, self.truncate), (8, self.compare)]
        scene.old.sql("create table big (id bigint primary key, x int, pad text); create table emptied (id bigserial primary key, x int)", db="shop")

    def slot_is_lost(self, status):
        """After a crash PostgreSQL itself cannot always decode a TRUNCATE a second time (docs/traps.md): said, and begun again."""
        fault = status["stores"][0].get("fault") or {}
        return fault.get("code") == "slot-lost" and "could not map filenode" in fault.get("why", "")

    def rest(self):
        """From time to time all of it must come to rest."""
        self.end_long()   # before the slot is made it is waited for
        while True:
            status = self.scene.leat.wait_status(lambda s: self.slot_is_lost(s) or s["stores"][0].get("following"), 300, "following")
            try:
                if not self.slot_is_lost(status):
                    self.scene.wait_level()
                    return self.prove()
            except TooLate:
                if not self.slot_is_lost(self.scene.leat.status()):
                    raise
            self.note("arm again: the source cannot decode its log")
            self.scene.leat.run("resume", "shop", "--arm-again", "--yes")
            self.scene.leat.run("start", "--yes", check=False)

    def compare(self):
        """A comparison that goes on over the acts to come: no alarm may be false, whatever dies under it."""
        self.end_comparing(0)
        self.comparing = self.scene.leat.start_run("verify", "--yes")

    def end_comparing(self, deadline):
        if self.comparing and (deadline or not self.comparing.running()):
            answer = self.comparing.wait(deadline or 10, check=False)
            for store in answer.json.get("stores", []) if answer.events else []:
                assert store["clean"] or store["unverifiable"], answer   # killed tables, locks: named; but no row may differ
                assert store["differences"] == 0 and store["objects"] == [] and store["self_test"]["found"] == 10, answer
                self.compared += 1
            self.comparing = None

    def prove(self):
        """What is planted now is found, all of it and nothing else, and mended."""
        self.end_comparing(300)
        assert self.scene.leat.run("verify", timeout=300).json["stores"][0]["clean"]   # one whose command was ended goes on, and is joined: no later one would be new
        self.stays()
        low = self.random.randrange(1, 2_000_000 - 3)
        self.scene.new.sql(f"set session_replication_role = replica; update pgbench_accounts set filler = 'spoilt' where aid = {low}; delete from pgbench_accounts where aid = {low + 1};"
                           f" insert into pgbench_accounts (aid, bid, abalance) values ({-low}, 1, 0)", db="shop")
        store = self.scene.leat.run("verify", check=2, timeout=300).json["stores"][0]
        found = [(r["kind"], int(r["key"]["aid"])) for t in store["tables"] for r in t.get("rows", [])]
        assert sorted(found) == [("changed", low), ("extra", -low), ("missing", low + 1)] and store["differences"] == 3, store
        self.scene.leat.run("repair", timeout=300)
        self.scene.leat.run("repair", "--apply", timeout=300)
        assert self.scene.leat.run("verify", timeout=300).json["stores"][0]["clean"]
        self.planted += 3

    def stays(self):
        """What was touched since the last comparison of all has been compared again, whatever died meanwhile: no alarm, and nothing left out."""
        asked = time.time_ns() // 1000

        def fresh():
            verified = self.scene.leat.status()["stores"][0].get("verified") or {"whole": False}
            return verified if not verified.get("whole") or (verified["stay"]["at_us"] > asked and not verified["due"] and not verified["stay"]["why"]) else None
        verified = wait_for(fresh, 180, "what was touched to be compared", show=self.scene.story)
        if verified["whole"]:
            assert not verified["differing"], verified
            self.stayed = max(self.stayed, verified["stay"]["keys"])

    def mind_ledger(self):
        """A row that surprised: said at once, near its cause."""
        try:
            rows = self.scene.new.sql("select at, position, table_name, kind, why, left(old_row, 200), left(new_row, 200) from leat.ledger where settled is null order by id limit 20", db="shop")
        except psycopg2.Error:
            return   # the target is away, or has no ledger yet
        assert not rows, "\n".join(map(str, rows)) + self.scene.story() + "\n".join(str(e) for e in self.scene.leat.run("events").events[-150:])

    def note(self, text):
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    def turn(self):
        act = self.random.choices([a for _, a in self.acts], [w for w, _ in self.acts])[0]
        self.note(act.__name__)
        act()
        self.mind_ledger()
        self.scene.load.wait_commits(self.random.choice((1, 20, 100)), deadline=120)
        self.mind_ledger()

    def kill_engine(self):
        self.scene.kill_engines(self.random.choice((1, 1, 3)))

    def kill_pilot(self):
        self.scene.leat.kill9("pilot")
        wait_for(lambda: not self.scene.leat.pids("engine"), 60, "its engines to end")
        self.scene.start()

    def kill_holder(self):
        self.scene.leat.kill9("holder")

    def crash_target(self):
        self.scene.new.crash()
        self.scene.new.start()

    def restart_target(self):
        self.scene.new.restart()

    def target_away(self):
        self.scene.new.stop()
        self.scene.load.wait_commits(self.random.choice((50, 500)), deadline=120)
        if self.random.random() < 0.5 and self.scene.leat.status()["stores"][0].get("target_away"):   # while it builds no engine lives for long
            self.kill_engine()
        self.scene.new.start()

    def restart_source(self):
        self.end_long()
        self.scene.old.restart()

    def crash_source(self):
        self.end_long()
        self.scene.old.crash()
        self.scene.old.start()

    def stop_and_start(self):
        self.scene.leat.run("stop")
        self.scene.load.wait_commits(50, deadline=120)
        self.scene.start()

    def big_transaction(self):
        n = self.random.choice((1000, 30000, 200000))
        self.scene.old.sql(f"begin; delete from big where id <= {n}; insert into big select g, g, repeat('x', 50) from generate_series(1, {n}) g on conflict do nothing;"
                           f" update big set x = x + 1 where id % 3 = 0; savepoint a; update big set x = 0; rollback to a; commit", db="shop")

    def long_transaction(self):
        """One that stays open over the acts to come; ended by the next, half of them undone."""
        self.end_long()
        self.long = self.scene.old.conn(db="shop")
        cur = self.long.cursor()
        cur.execute("insert into emptied (x) select g from generate_series(1, 1000) g")

    def end_long(self):
        if self.long:
            try:
                self.long.commit() if self.random.random() < 0.5 else self.long.rollback()
                self.long.close()
            except psycopg2.Error:
                pass
            self.long = None

    def truncate(self):
        self.end_long()
        self.scene.old.sql("insert into emptied (x) select g from generate_series(1, 100) g", db="shop")
        self.scene.old.sql("begin; truncate emptied; insert into emptied (x) select g from generate_series(1, 50) g; commit", db="shop")


@pytest.mark.soak
@pytest.mark.limit(int(MINUTES * 60) + 900)
@pytest.mark.parametrize("source,target", [(15, 17)])
def test_soak(server, migration, source, target):
    print(f"SOAK_SEED={SEED}", flush=True)
    with Scene(server, migration, source, target, seed=SEED, scale=20, pause=0.002) as scene:
        scene.outages = True
        soak = Soak(scene)
        scene.start()
        with Peaks(scene.leat) as peaks:
            end = time.monotonic() + MINUTES * 60
            while time.monotonic() < end:
                soak.turn()
                if soak.random.random() < 0.2:
                    soak.rest()
            soak.rest()
            scene.finish()
        soak.note(f"engine {peaks.by_role['engine'] >> 20} MB, {scene.load.ledger.acknowledged} commits, {soak.compared} comparisons under fire without an alarm, {soak.planted} damages planted and found, {soak.stayed} touched rows compared again by one engine")
        peaks.check(256 << 20)
