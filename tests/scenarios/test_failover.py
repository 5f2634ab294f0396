"""A side fails over to its standby in the middle of a switch: exactly one side serves then, and every write that was acknowledged is there.

The switch stops itself at the step named (LEAT_HALT_AT). The side's server is ended, its standby promoted, and given its address. With a synchronous
standby nothing is lost, whatever the step; with one that nothing waits for (--no-failover: somebody said there would be no failover) the promoted one may
not know of a decision: then the other side's attempt is the arbiter.
"""
import json
import os
import signal
import subprocess

import psycopg2
import pytest

from clients import Clients
from test_switch import Pair
from test_switch_faults import door_pid, stopped
from test_switch_traps import write_through
from wait import wait_for

ROW = "select epoch, side, open from leat.authority"


class Failing:
    """A pair whose one side has a standby; the switch is stopped at a step."""

    def __init__(self, server, migration, side, synchronous=True, pause="1s"):
        self.pair = Pair(server, migration, 15, 15, extra=f"gates:\n  rehearsals: 0\n  pause: {pause}\n", doors=1)
        self.name = side
        self.primary = self.pair.side(side)
        self.pair.start()
        self.pair.leat.run("rehearse", "--yes", check=False)   # arms; its pause is not asked about here
        self.standby = self.primary.basebackup("standby")
        wait_for(lambda: self.primary.one("select count(*) from pg_stat_replication where application_name = 'standby' and state = 'streaming'") == 1, 30, "the standby to stream")
        if synchronous:
            self.primary.configure(synchronous_standby_names="standby")
            wait_for(lambda: self.primary.one("select sync_state from pg_stat_replication where application_name = 'standby'") == "sync", 30, "it to be synchronous")
        self.pair.ready()
        self.pair.leat.wait_status(lambda s: all(g["ok"] for g in s["gates"]), 60, "all gates to be open")

    def switch(self, step, *options):
        self.process = subprocess.Popen(self.pair.leat.command("cutover", "--yes", *options), cwd=self.pair.leat.folder, env={**self.pair.leat.env, "LEAT_HALT_AT": step},
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.await_halt(step)

    def await_halt(self, step):
        wait_for(lambda: self.process.poll() is not None or stopped(self.process.pid), 60, f"the switch to come to {step}", show=self.pair.leat.logs)
        assert self.process.poll() is None, self.process.communicate()

    def fail_over(self):
        self.primary.kill9()
        self.standby.promote()
        self.standby.stop()
        self.standby.configure(port=self.primary.port, synchronous_standby_names="")
        self.standby.port = self.primary.port
        self.standby.start()
        if self.name == "source":
            self.pair.old = self.standby
        else:
            self.pair.new = self.standby

    def go_on(self):
        """The switch, to its end; it stops again where it comes by there again."""
        def ended():
            if self.process.poll() is None and stopped(self.process.pid):
                os.kill(self.process.pid, signal.SIGCONT)
            return self.process.poll() is not None
        wait_for(ended, 120, "the switch to end", show=self.pair.leat.logs)
        return self.process.communicate()[0]

    def rows(self):
        return [s.sql(ROW, db="shop")[0] for s in (self.pair.old, self.pair.new)]

    def one_serves(self, expected):
        wait_for(lambda: self.pair.serving() == [expected], 60, f"the {expected} alone to serve", show=lambda: f"{self.rows()}\n{self.pair.leat.logs()}")


def go_on_through_the_door(failing, clients, expected):
    """They do, and what they were told is there, exactly."""
    failing.one_serves(expected)
    before = clients.total()
    wait_for(lambda: clients.total() > before + 20, 60, "clients to go on", show=failing.pair.leat.logs)


def exact(failing, clients, expected):
    assert not clients.errors, clients.errors
    with failing.pair.side(expected).conn("shop") as conn:
        assert clients.check(conn) == []


def try_step(server, migration, side, step, expected, killed=False):
    failing = Failing(server, migration, side)
    with Clients(failing.pair.door_dsns(), count=2, pause=0.005, doors_die=True) as clients:
        wait_for(lambda: clients.total() > 20, 60, "clients to begin")
        failing.switch(step)
        if killed:
            failing.process.kill()
        failing.fail_over()
        if not killed:
            failing.go_on()
        go_on_through_the_door(failing, clients, expected)
    exact(failing, clients, expected)
    return failing


def test_before_the_decision_the_promoted_source_serves_on(server, migration):
    """The lock died with its server; the promoted one says "old", and that counts once the target's attempt is taken."""
    failing = try_step(server, migration, "source", "decide", "source")
    old, new = (s.sql("select attempt, source_server, leat.server() from leat.authority", db="shop")[0] for s in (failing.pair.old, failing.pair.new))
    assert old[1] == old[2] == new[1], "the timeline it serves by stands in both rows"


def test_decided_and_the_switch_gone_the_door_opens_by_the_promoted_row(server, migration):
    try_step(server, migration, "source", "open", "target", killed=True)


@pytest.mark.slow
@pytest.mark.parametrize("side,step,expected,killed", [
    ("source", "gate", "source", False), ("source", "hold", "source", False), ("source", "lock", "source", True), ("source", "drain", "source", False),
    ("source", "decide", "source", True), ("source", "open", "target", False), ("source", "release", "target", False), ("source", "release", "target", True),
    ("target", "drain", "source", False), ("target", "decide", "source", True), ("target", "open", "target", False), ("target", "open", "target", True), ("target", "release", "target", False)])
def test_failover_at_every_step(server, migration, side, step, expected, killed):
    try_step(server, migration, side, step, expected, killed)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [True, False])
def test_a_decision_the_standby_never_had_is_annulled(server, migration, killed):
    """Consent was given, and the standby is promoted without the decision: the new side's attempt is taken first, and no stale opening comes through."""
    failing = Failing(server, migration, "source", synchronous=False)
    failing.standby.configure(primary_conninfo="host=/nowhere")   # from here on it receives nothing
    wait_for(lambda: failing.primary.one("select count(*) from pg_stat_replication where application_name = 'standby'") == 0, 30, "the standby to fall behind")
    failing.switch("open", "--no-failover")
    assert failing.primary.sql(ROW, db="shop") == [(1, "target", False)]
    if killed:
        failing.process.kill()
    failing.fail_over()
    assert failing.pair.old.sql(ROW, db="shop") == [(0, "source", True)], "it does not know of the decision"
    wait_for(lambda: write_through(failing.pair.door_dsns()[0]), 60, "the door to let its clients go on", show=failing.pair.leat.logs)
    if not killed:
        failing.go_on()   # its COMMIT of the opening is on its way
    failing.one_serves("source")
    assert failing.rows() == [(0, "source", True), (0, "source", False)]
    assert write_through(failing.pair.door_dsns()[0])


def await_sync(server, name):
    """A session of that name, whose COMMIT waits for its standby."""
    return wait_for(lambda: server.sql("select pid from pg_stat_activity where wait_event = 'SyncRep' and application_name = %s", [name]), 30, f"a COMMIT of {name} to wait", show=server.activity)[0][0]


@pytest.mark.parametrize("messages", ["notice", "error"])
def test_a_mark_whose_wait_for_a_standby_was_cancelled_proves_nothing(server, migration, messages):
    """What was drained is on a server alone that may be lost yet, though the mark that came round can be read there. A server says so by a warning,
    which it may have been told to keep to itself."""
    failing = Failing(server, migration, "target", pause="5s")
    pair = failing.pair
    pair.new.configure(client_min_messages=messages)
    marks = "select coalesce(max(attempt), 0) from leat.mark where store = 'shop+back'"
    failing.switch("hold")
    pair.old.sql("insert into entry values (9, 1, 1, 0)", db="shop")
    engine, before = pair.leat_pid("shop"), pair.new.one(marks, db="shop")
    os.kill(engine, signal.SIGSTOP)
    os.kill(failing.process.pid, signal.SIGCONT)
    wait_for(lambda: pair.new.one(marks, db="shop") > before, 30, "the marks to be written", show=pair.leat.logs)   # its standby has it
    failing.standby.kill9()
    os.kill(engine, signal.SIGCONT)
    pair.new.sql("select pg_cancel_backend(%s)", [await_sync(pair.new, "leat: apply")])
    wait_for(lambda: failing.process.poll() is not None or stopped(failing.process.pid) or pair.old.sql(ROW, db="shop") != [(0, "source", True)], 60, "the switch to go back, or on", show=lambda: pair.new.activity() + pair.leat.logs())
    assert pair.old.sql(ROW, db="shop") == [(0, "source", True)], "it was decided: what was drained may be lost with the new side's server"
    failing.process.kill()
    failing.one_serves("source")


def test_a_mark_that_waits_for_a_standby_is_not_waited_for_for_ever(server, migration):
    """Not even at the gate, where nobody is held: the command says so and ends."""
    failing = Failing(server, migration, "target")
    failing.switch("mark")
    failing.standby.kill9()
    out = failing.go_on()
    assert failing.process.returncode != 0 and "confirmed" in out, out
    assert failing.pair.old.sql(ROW, db="shop") == [(0, "source", True)]


# ---- a side is lost for good -------------------------------------------------------------------------------------

def lose(pair, side):
    pair.side(side).kill9()


def forced_event(pair):
    return [e["body"] for e in pair.leat.run("events").events if e.get("kind") == "switch.forced"]


def test_the_source_lost_for_good_and_back(server, migration):
    """--force opens the target; the source comes back with what had not reached it: fenced out, forwarded to by nobody, and mended by verify and repair."""
    pair = Pair(server, migration, 15, 15, extra="gates:\n  rehearsals: 0\n  pause: 5s\n", doors=1)
    pair.start()
    pair.leat.run("rehearse", "--yes", check=False)
    pair.ready()
    refused = pair.leat.run("cutover", "--force", "--yes", check=3).json["error"]
    assert "nothing to force" in refused["why"], refused
    os.kill(pair.leat_pid("shop"), signal.SIGSTOP)   # from here on nothing reaches the target
    pair.old.sql("insert into entry values (9, 1, 1, 0)", db="shop")   # acknowledged, and at risk
    lose(pair, "source")
    os.kill(pair.leat_pid("shop"), signal.SIGCONT)
    asked = pair.leat.run("cutover", "--force", check=3).json["error"]
    assert asked["code"] == "consent" and "at risk" in asked["why"] and "whether it handed over" in asked["why"], asked
    assert pair.new.sql(ROW, db="shop") == [(0, "source", False)]
    answer = pair.leat.run("cutover", "--force", "--yes").json
    assert answer["forced"] and answer["authority"] == "target" and answer["epoch"] == 1 and answer["applied"] and answer["heard_us"] > 0, answer
    assert [(b["authority"], b["epoch"]) for b in forced_event(pair)] == [("target", 1)]
    wait_for(lambda: write_through(pair.door_dsns()[0]), 60, "the door to go to the target", show=pair.leat.logs)
    pair.new.sql("insert into entry values (8, 1, 1, 0)", db="shop")
    pair.old.start()
    wait_for(lambda: pair.old.sql(ROW, db="shop") == [(1, "target", False)], 60, "the source to be fenced out", show=pair.leat.logs)
    assert pair.serving() == ["target"]
    stopped_by = pair.leat.wait_status(lambda s: (s["stores"][0]["fault"] or {}).get("code") == "left-behind", 60, "the stream to stop")["stores"][0]["fault"]
    assert "--arm-again" in stopped_by["todo"], stopped_by
    assert pair.new.one("select count(*) from entry where client = 9", db="shop") == 0, "it is brought nowhere"
    pair.leat.run("resume", "shop", "--arm-again", "--yes")
    pair.ready()
    assert pair.new.one("select count(*) from entry where client = 9", db="shop") == 0
    back = pair.leat.run("rollback", "--yes", check=False)
    assert back.status != 0 and "ledger" in back.json["error"]["why"], back.json
    pair.leat.run("verify", check=2)
    pair.leat.run("repair")
    pair.leat.run("repair", "--apply")
    pair.leat.run("verify")
    assert pair.old.one("select count(*) from entry where client = 9", db="shop") == 0 and pair.old.one("select count(*) from entry where client = 8", db="shop") == 1
    assert pair.leat.run("rollback", "--yes").json["authority"] == "source"
    assert pair.serving() == ["source"]


def test_a_force_says_which_tables_are_not_whole(server, migration):
    """Of one that is copied again it is not true that all up to a position is there."""
    pair = Pair(server, migration, 15, 15)
    pair.start()
    pair.leat.run("rehearse", "--yes", check=False)   # arms
    pair.ready()
    pair.leat.run("stop")
    pair.new.sql("update leat.copy set joined = null where table_name = 'public.entry'", db="shop")
    lose(pair, "source")
    said = pair.leat.run("cutover", "--force", check=False)
    assert said.status != 0 and "may be empty: public.entry" in said.err, said
    assert pair.leat.run("cutover", "--force", "--yes").json["partial"] == "public.entry"
    assert [b["partial"] for b in forced_event(pair)] == ["public.entry"]


def armed(server, migration):
    pair = Pair(server, migration, 15, 15, extra="gates:\n  rehearsals: 0\n  pause: 5s\n", doors=1)
    pair.start()
    pair.leat.run("rehearse", "--yes", check=False)
    pair.ready()
    return pair


def least_epoch(pair):
    path = pair.leat.state / "shop.least-epoch"
    return path.read_text() if path.exists() else None


def another_door(pair, says=None):
    """It was held by nobody, and knows nothing but what it is told. says: it serves nobody, because of that."""
    before = door_pid(pair)
    os.kill(before, signal.SIGKILL)

    def holds():
        status = json.loads((pair.leat.state / "run" / "shop.door.0.json").read_text())
        return status["pid"] != before and (status["phase"] == "serving" if says is None else says in status.get("settling", {}).get("trouble", ""))
    wait_for(holds, 60, f"another door to {says or 'serve'}", show=pair.story)


def served_by(pair):
    with psycopg2.connect(pair.door_dsns()[0]) as conn, conn.cursor() as c:
        c.execute("select inet_server_port()")
        port = c.fetchone()[0]
    return "source" if port == pair.old.port else "target"


def arm_again(pair):
    """Both ways, each once it has stopped for it, which need not be at the same time; and what may differ is compared."""
    def wanting():
        faults = {name: pair.leat.state / "run" / f"{name}.fault" for name in ("shop", "shop+back")}
        return {name for name, p in faults.items() if p.exists() and ('"left-behind"' in p.read_text() or '"server-changed"' in p.read_text())}
    asked = set()
    while not asked or not pair.followed():
        wait_for(lambda: wanting() - asked or (asked and pair.followed()), 60, "both ways to stop for it, or to be followed", show=pair.leat.logs)
        if wanting() - asked:
            asked |= wanting()
            pair.leat.run("stop", check=False)
            pair.leat.run("resume", "shop", "--arm-again", "--yes")
    pair.ready()
    if pair.leat.run("verify", check=False).status != 0:
        pair.leat.run("repair")
        pair.leat.run("repair", "--apply")
        pair.leat.run("verify")


@pytest.mark.limit(300)
def test_the_side_that_serves_fails_over_and_the_other_one_is_lost(server, migration):
    """Its own row counts for nothing by itself then: --force opens it anew, by an epoch the lost side cannot have come to."""
    failing = Failing(server, migration, "target")
    pair = failing.pair
    assert pair.leat.run("cutover", "--yes").json["authority"] == "target"
    pair.new.sql("insert into entry values (9, 1, 1, 0)", db="shop")
    lose(pair, "source")
    failing.fail_over()
    another_door(pair, says="failed over since")
    asked = pair.leat.run("cutover", "--force", check=3).json["error"]
    assert asked["code"] == "consent" and "counts for nothing by itself" in asked["why"], asked
    assert pair.new.sql(ROW, db="shop") == [(1, "target", True)]
    answer = pair.leat.run("cutover", "--force", "--yes").json
    assert (answer["authority"], answer["epoch"], answer["said_it_serves"]) == ("target", 3, True), answer
    assert least_epoch(pair) == "3\n"
    wait_for(lambda: write_through(pair.door_dsns()[0]), 60, "the door to go to the target", show=pair.leat.logs)
    again = pair.leat.run("cutover", "--force", "--yes", check=3).json["error"]
    assert "serves already" in again["why"], again
    pair.old.start()
    arm_again(pair)
    assert failing.rows() == [(3, "target", False), (3, "target", True)]
    assert pair.serving() == ["target"]
    assert pair.new.one("select count(*) from entry where client = 9", db="shop") == 1
    assert pair.leat.run("rollback", "--yes").json["authority"] == "source"
    assert (pair.serving(), least_epoch(pair)) == (["source"], "4\n")


def test_a_force_that_fails_takes_back_what_it_wrote(server, migration):
    """The source, back after it, serves as before; and there is nothing to force."""
    pair = armed(server, migration)
    lose(pair, "source")
    holder = pair.new.conn("shop")
    holder.cursor().execute("select 1 from leat.authority for update")
    failed = pair.leat.run("cutover", "--force", "--yes", check=False)
    assert failed.status != 0 and failed.json["error"]["code"] == "busy", failed
    holder.close()
    assert least_epoch(pair) is None
    assert pair.new.sql("select barred from leat.lease where store = 'shop'", db="shop") == [(False,)]
    pair.old.start()
    another_door(pair)
    assert served_by(pair) == "source" and write_through(pair.door_dsns()[0])
    pair.ready()
    assert "nothing to force" in pair.leat.run("cutover", "--force", "--yes", check=3).json["error"]["why"]


@pytest.mark.limit(300)
def test_a_force_that_was_killed_half_way(server, migration):
    """The source, back, counts for outdated. It is not lost: the target is not opened over its head, and it may be had to serve."""
    pair = armed(server, migration)
    lose(pair, "source")
    holder = pair.new.conn("shop")
    holder.cursor().execute("select 1 from leat.authority for update")
    opening = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%force_open%'"
    forcing = pair.leat.start_run("cutover", "--force", "--yes")
    wait_for(lambda: pair.new.one(opening) == 1, 60, "it to be about to open the target", show=pair.leat.logs)
    forcing.kill9()
    wait_for(lambda: pair.new.one(opening) == 0, 30, "its last word to come to nothing")
    holder.close()
    assert least_epoch(pair) == "1\n"
    pair.old.start()
    another_door(pair, says="before what this machine knows")
    pair.old.sql("insert into entry values (9, 1, 1, 0)", db="shop")   # past the doors, on the side that served all the while
    refused = pair.leat.run("cutover", "--force", "--yes", check=3).json["error"]
    assert "lost it is not" in refused["why"] and "rollback --force" in refused["todo"], refused
    pair.old.sql("drop function leat.force_open(text, text, bigint, bigint, bigint)", db="shop")   # as armed by a leat that could not do this
    answer = pair.leat.run("rollback", "--force", "--yes").json
    assert (answer["authority"], answer["epoch"]) == ("source", 2), answer
    wait_for(lambda: write_through(pair.door_dsns()[0]), 60, "the door to go to the source", show=pair.leat.logs)
    arm_again(pair)
    assert [s.sql(ROW, db="shop")[0] for s in (pair.old, pair.new)] == [(2, "source", True), (2, "source", False)]
    assert pair.serving() == ["source"] and pair.old.one("select count(*) from entry where client = 9", db="shop") == 1
    wait_for(lambda: pair.leat.run("cutover", "--yes", check=False).status == 0, 60, "the cutover", show=pair.leat.logs)
    assert (pair.serving(), least_epoch(pair)) == (["target"], "3\n")


def test_a_source_that_knows_of_no_switch_any_more_serves_nobody(server, migration):
    """Its row is gone, or is that of before, and the target does not answer for a while: what clients wrote there would be lost."""
    pair = armed(server, migration)
    of_before = pair.old.sql("select * from leat.authority", db="shop")[0]
    assert pair.leat.run("cutover", "--yes").json["authority"] == "target"
    assert least_epoch(pair) == "1\n"
    lose(pair, "target")
    pair.old.sql("delete from leat.authority; delete from leat.turn", db="shop")
    another_door(pair, says="the other one does not say that it serves")
    pair.old.sql(f"insert into leat.authority values ({', '.join(['%s'] * len(of_before))})", of_before, db="shop")
    another_door(pair, says="before what this machine knows")
    pair.new.start()
    wait_for(lambda: write_through(pair.door_dsns()[0]), 60, "the door to serve", show=pair.leat.logs)
    assert served_by(pair) == "target"
    wait_for(lambda: pair.old.sql(ROW, db="shop") == [(1, "target", False)], 60, "the source to be shut", show=pair.leat.logs)


@pytest.mark.slow
def test_a_way_back_whose_slot_was_lost_is_armed_again_and_mended(server, migration):
    """Nothing is copied: what was written between is found by a comparison, and until then nobody goes back."""
    pair = Pair(server, migration, 15, 15, extra="gates:\n  rehearsals: 0\n  pause: 5s\n")
    pair.start()
    pair.leat.run("rehearse", "--yes", check=False)
    pair.ready()
    pair.leat.wait_status(lambda s: all(g["ok"] for g in s["gates"]), 60, "all gates to be open")
    assert pair.leat.run("cutover", "--yes").json["authority"] == "target"
    pair.leat.run("stop")
    slot = "select slot_name from pg_replication_slots where not active"
    wait_for(lambda: len(pair.new.sql(slot)) == 1, 30, "the way back's slot to be free")
    pair.new.sql("select pg_drop_replication_slot(slot_name) from pg_replication_slots")
    pair.new.sql("insert into entry values (8, 1, 1, 0)", db="shop")   # in no slot
    pair.leat.run("start", "--yes")
    fault = pair.leat.state / "run" / "shop+back.fault"
    wait_for(lambda: fault.exists() and '"slot-lost"' in fault.read_text(), 60, "the way back to stop", show=pair.leat.logs)
    pair.leat.run("resume", "shop", "--arm-again", "--yes")
    pair.ready()
    assert pair.old.one("select count(*) from entry where client = 8", db="shop") == 0
    refused = pair.leat.run("rollback", "--yes", check=False)
    assert refused.status != 0 and "ledger" in refused.json["error"]["why"], refused.json
    pair.leat.run("verify", check=2)
    pair.leat.run("repair")
    pair.leat.run("repair", "--apply")
    pair.leat.run("verify")
    assert pair.leat.run("rollback", "--yes").json["authority"] == "source"
    assert pair.old.one("select count(*) from entry where client = 8", db="shop") == 1


# as the first release with a switch had it
OLDER = """
drop function leat.server(); drop function leat.gate(text, text, bigint, bigint, bigint, text, text); drop function leat.open_side(text, text, bigint, text, bigint);
alter table leat.authority drop column source_server, drop column target_server;
alter table leat.lease drop column barred;
create function leat.open_side(of_migration text, of_store text, of_epoch bigint, of_side text) returns boolean language sql as 'select false';
create or replace function leat.abort_attempt(of_migration text, of_store text, of_epoch bigint, of_attempt bigint) returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    a leat.authority;
    stands boolean;
begin
    perform set_config('synchronous_commit', 'on', true);
    select x.* into a from leat.authority x where x.migration = of_migration and x.store = of_store for update;
    stands := coalesce(a.epoch = of_epoch and a.attempt = of_attempt and a.side = a.here and a.open, false);
    update leat.authority x set attempt = case when stands then of_attempt + 1 else x.attempt end where x.migration = of_migration and x.store = of_store;
    return stands;
end
$$;
"""


@pytest.mark.slow
def test_a_table_of_an_older_leat_is_brought_up_to_date(server, migration):
    """It knew no servers and no bar: what was armed by it serves on, and arming again adds what is missing."""
    pair = Pair(server, migration, 15, 15, extra="gates:\n  rehearsals: 0\n  pause: 5s\n", doors=1)
    pair.start()
    pair.leat.run("rehearse", "--yes", check=False)
    for side in (pair.old, pair.new):
        side.sql(OLDER, db="shop")
    status = pair.leat.state / "run" / "shop.door.0.json"
    os.kill(json.loads(status.read_text())["pid"], signal.SIGKILL)   # another door begins with it as it is
    wait_for(lambda: write_through(pair.door_dsns()[0]), 60, "the door to serve", show=pair.leat.logs)
    for name in ("shop", "shop+back"):
        os.kill(pair.leat_pid(name), signal.SIGKILL)
    pair.ready()
    pair.leat.wait_status(lambda s: all(g["ok"] for g in s["gates"]), 60, "all gates to be open")
    assert pair.leat.run("cutover", "--yes").json["authority"] == "target"
    assert pair.serving() == ["target"]
    assert None not in pair.new.sql("select source_server, target_server from leat.authority", db="shop")[0]
