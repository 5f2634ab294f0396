"""faults — every way of failing that is tried, once: what is done, in which phase, and what has to come of it.

docs/faults.md is made of this list (`python3 tests/lib/faults.py >docs/faults.md`); a gate holds it against the list, and every test named
here against the tests that are there. Faults with do() are carried out by test_faults.py in each phase they name: the engine has to notice
(it ends), then undo() puts an end to the fault, if it does not end by itself.

An outcome is RESUMES (leat goes on by itself, exact at the end) or a code: the store stops with it, what it says to do is done, and
then it goes on, exact at the end. waits("…") is RESUMES after somebody has put an end to the fault.
"""
import dataclasses

from wait import wait_for

BUILD, COPY, FOLLOW = PHASES = "building", "copying", "following"
RESUMES = "goes on by itself"


def waits(what):
    return f"{RESUMES} {what}"


def stops(code, way):
    return f"stops: `{code}`; goes on after {way}"


ARM_AGAIN = "`leat resume STORE --arm-again --yes`"
UNDONE = waits("when it is undone")


@dataclasses.dataclass(frozen=True)
class Fault:
    name: str
    does: str
    outcome: dict           # phase → what comes of it
    tests: tuple            # which tests try it
    do: object = None
    undo: object = None
    said: str = ""          # what leat has to say of it before it is undone, a regular expression
    quietly: bool = False   # the engine need not end by it


def network(name, does, do, undo=None, phases=PHASES):
    tests = tuple(f"test_faults.py::test_{phase}_with_a_failing_network" for phase in phases)
    return Fault(f"network: {name}", does, dict.fromkeys(phases, UNDONE if undo else RESUMES), tests, do, undo)


def _silence(side, name):
    """Fails where no such connection is there: then nothing would be tried."""
    def do(scene):
        nets = [net for of, net in (("source", scene.net_source), ("target", scene.net_target)) if side in (of, "both")]
        for net in nets:
            wait_for(lambda net=net: net.silence(name), 20, f"a connection {name!r}", show=net.names)
    return do


NETWORK = (
    network("source cut", "every connection to the source reset, new ones too", lambda s: s.net_source.cut(), lambda s: s.net_source.heal()),
    network("target cut", "the same of the target", lambda s: s.net_target.cut(), lambda s: s.net_target.heal()),
    network("source half-open", "packets to and from the source vanish, and nobody is told", lambda s: s.net_source.silence(), lambda s: s.net_source.heal()),
    network("target half-open", "the same of the target", lambda s: s.net_target.silence(), lambda s: s.net_target.heal()),
    network("source answers no more", "packets are acknowledged by whoever stands in between, and go no further", lambda s: s.net_source.hold(), lambda s: s.net_source.heal(), phases=(COPY, FOLLOW)),
    network("target answers no more", "the same of the target", lambda s: s.net_target.hold(), lambda s: s.net_target.heal(), phases=(COPY, FOLLOW)),
    network("stream half-open", "of the stream alone", _silence("source", "forward stream"), phases=(COPY, FOLLOW)),
    network("lane half-open", "of the lanes alone", _silence("target", "apply"), phases=(FOLLOW,)),
    network("watch half-open", "of the engine's own connection to each side", _silence("both", "watch"), phases=(COPY, FOLLOW)),
    network("copy half-open, source", "of the connections rows are read by", _silence("source", "copy"), phases=(COPY,)),
    network("copy half-open, target", "of the connections rows are written by", _silence("target", "copy"), phases=(COPY,)),
)

def _slowly(scene):
    for net in (scene.net_source, scene.net_target):
        net.slow(rate=100_000, delay=0.02)
    scene.load.wait_commits(100)


def _at_speed(scene):
    for net in (scene.net_source, scene.net_target):
        net.slow()


SLOW = Fault("network: slow", "both ways 100 kB/s a connection, 20 ms late", {FOLLOW: UNDONE}, ("test_faults.py::test_following_with_a_failing_network",), _slowly, _at_speed, quietly=True)


def servers(name, does, outcome, phases, do, undo=None, **more):
    return Fault(name, does, dict.fromkeys(phases, outcome), tuple(f"test_faults.py::test_{phase}_with_failing_servers" for phase in phases), do, undo, **more)


def _crash(server):
    server.crash()
    server.start()


def _set_clock(seconds):
    def do(scene):
        scene.clock.set(seconds)
        scene.load.wait_commits(50)
    return do


FULL = r"too many clients|remaining connection slots"
SERVERS = (
    servers("source restarted", "in order", RESUMES, PHASES, lambda s: s.old.restart()),
    servers("target restarted", "in order", RESUMES, PHASES, lambda s: s.new.restart()),
    servers("source crashed", "immediate stop, and started again", RESUMES, (COPY, FOLLOW), lambda s: _crash(s.old)),
    servers("target crashed", "immediate stop, and started again", RESUMES, (COPY, FOLLOW), lambda s: _crash(s.new)),
    servers("source: connections used up", "leat's are ended, and others take all there are", UNDONE, (COPY, FOLLOW), lambda s: s.crowd_source.come(), lambda s: s.crowd_source.go(), said=FULL),
    servers("target: connections used up", "the same of the target", UNDONE, (COPY, FOLLOW), lambda s: s.crowd_target.come(), lambda s: s.crowd_target.go(), said=FULL),
    servers("clock set forward", "this machine's, by 30 days", RESUMES, (COPY, FOLLOW), _set_clock(30 * 86400), quietly=True),
    servers("clock set back", "by 60 days", RESUMES, (COPY, FOLLOW), _set_clock(-30 * 86400), quietly=True),
)

TARGET_DISK = Fault("target: disk full", "the disk its database stands on", dict.fromkeys((COPY, FOLLOW), UNDONE), ("test_faults.py::test_target_out_of_disk",),
                    lambda s: (s.disk.fill(but=2 << 20), s.grow()), lambda s: s.disk.free(), said=r"No space left on device", quietly=True)


def _fill_source(scene):
    """Not even a heartbeat finds room; what is written to the log all the same is read, and acknowledged."""
    scene.engines = scene.leat.pids("engine")
    scene.disk.fill()
    scene.use_up()
    then = scene.old.one("select pg_current_wal_insert_lsn() - '0/0'")
    wait_for(lambda: scene.old.one("select min(confirmed_flush_lsn - '0/0') from pg_replication_slots") > then, 30, "the source's log to be let go", show=scene.story)


def _free_source(scene):
    assert scene.leat.pids("engine") == scene.engines, "the same engine goes on all the time"
    scene.disk.free()


SOURCE_DISK = Fault("source: disk full", "the disk its database stands on", {FOLLOW: UNDONE}, ("test_faults.py::test_source_out_of_disk",),
                    _fill_source, _free_source, said=r"No space left on device", quietly=True)

AWAY, AGAIN, GOVERNOR, BAD, SOAK = ("test_target_away.py::", "test_copy_again.py::", "test_governor.py::", "test_bad_input.py::", "test_soak.py::test_soak")

ELSEWHERE = (
    Fault("engine killed", "SIGKILL at random instants", dict.fromkeys(PHASES, RESUMES), ("test_follow.py::test_engine_killed_at_any_instant", SOAK)),
    Fault("pilot killed", "SIGKILL, and another started while the engine of the first still works", dict.fromkeys(PHASES, RESUMES),
          tuple(f"test_faults.py::test_{phase}_with_a_failing_network" for phase in PHASES)),
    Fault("holder killed", "SIGKILL to the process that keeps snapshots open", {COPY: RESUMES}, (SOAK,)),
    Fault("interrupted", "Ctrl-C", {COPY: waits("when run again")}, ("test_follow.py::test_interrupted_run_resumes",)),
    Fault("network: stream answers no more", "of the stream alone, whose walsender is ended by the source", {FOLLOW: RESUMES}, ("test_faults.py::test_a_stream_that_answers_no_more",)),
    Fault("walsender left behind", "the slot is held by the walsender of an engine that is gone", {FOLLOW: RESUMES}, ("test_follow.py::test_a_walsender_left_behind_holds_the_slot",)),
    Fault("target: immediate stop, away", "and started again later; the stream goes on meanwhile, onto this machine", {COPY: UNDONE, FOLLOW: UNDONE},
          (AWAY + "test_stream_goes_on_while_the_target_is_away", AWAY + "test_away_while_tables_are_copied")),
    Fault("target: a session lost in the middle of a row", "the one that COPY writes by, terminated", {COPY: RESUMES}, (AWAY + "test_lost_in_the_middle_of_a_row",)),
    Fault("source failed over", "to a standby that has all of it, promoted, at the same address", {FOLLOW: stops("server-changed", ARM_AGAIN)}, ("test_faults.py::test_source_failed_over",)),
    Fault("slot recreated", "dropped and made again under its name, by somebody, while leat was stopped", {FOLLOW: stops("slot-foreign", ARM_AGAIN)}, ("test_faults.py::test_slot_recreated",)),
    Fault("two engines", "a copy of the state folder is run beside the migration", {FOLLOW: "the second stops: `slot-foreign`; the first goes on"}, ("test_faults.py::test_a_copy_of_the_state_folder",)),
    Fault("killed at a journal write", "SIGKILL to engine and pilot as they write to the journal, the first time, the second, ... of each process", dict.fromkeys(PHASES, RESUMES),
          ("test_faults.py::test_engine_killed_at_journal_writes", "test_faults.py::test_pilot_killed_at_journal_writes")),
    Fault("source: its slot falls back", "immediate stop; what was acknowledged since the last checkpoint is sent again", {FOLLOW: RESUMES}, (AWAY + "test_a_slot_that_sends_again_what_was_kept",)),
    Fault("target restored from an older backup", "the server put back to before what leat knows to be durable", {FOLLOW: stops("target-behind", ARM_AGAIN)}, (AWAY + "test_target_restored_from_an_older_backup", "test_faults.py::test_target_restored")),
    Fault("another target", "dropped and made again empty, or another name in leat.yaml", {FOLLOW: stops("server-changed", "the database it began with is named again")},
          (BAD + "test_another_database_after_the_beginning",)),
    Fault("slot dropped", "by somebody, at an instant when nobody reads from it", {FOLLOW: stops("slot-lost", ARM_AGAIN)}, (AGAIN + "test_slot_dropped_armed_again",)),
    Fault("slot lost", "max_slot_wal_keep_size is used up", {FOLLOW: stops("slot-lost", ARM_AGAIN)}, (AGAIN + "test_slot_invalidated_armed_again",)),
    Fault("target away, spool used up", "limits.source_wal, limits.spool and limits.drop_slot_after reached", {FOLLOW: stops("slot-dropped", ARM_AGAIN)}, (GOVERNOR + "test_last_resort",)),
    Fault("target held up by a lock", "a row leat has to write is locked by somebody for long", {FOLLOW: UNDONE}, (GOVERNOR + "test_slow_target_costs_the_source_no_log",)),
    Fault("spool removed", "the folder, while tables need it", {COPY: RESUMES}, (AGAIN + "test_lost_spool_names_its_tables",)),
    Fault("backlog removed", "what was kept for a target that was away", {FOLLOW: stops("backlog-lost", ARM_AGAIN)}, (AWAY + "test_lost_while_it_was_needed",)),
    Fault("state folder's disk full", "at every size up to the one that suffices", dict.fromkeys((BUILD, COPY), stops("state", "space is made and it is run again")), (BAD + "test_a_disk_that_is_full",)),
)

FAULTS = NETWORK + (SLOW,) + SERVERS + (TARGET_DISK, SOURCE_DISK) + ELSEWHERE


# ---- docs/faults.md -----------------------------------------------------------------------------------------------

HEAD = """# What was made to fail, and what came of it

Made by `python3 tests/lib/faults.py` from the list in that file; a gate holds it against the list. Each line is tried by the scenarios
below, on real servers under load, and ends with both sides compared exactly, and with the ledger its clients kept.
A peer that is silent is given up after 25 to 30 s (`keepalives_idle`, `keepalives_interval`, `keepalives_count` and `tcp_user_timeout` in
the connection string say otherwise).

"""


def render():
    lines = ["| fault | what is done | " + " | ".join(PHASES) + " |", "|---" * (2 + len(PHASES)) + "|"]
    lines += [f"| {f.name} | {f.does} | " + " | ".join(f.outcome.get(phase, "") for phase in PHASES) + " |" for f in FAULTS]
    lines += ["", "Who tries it:", ""]
    lines += [f"- {f.name}: " + ", ".join(f"`{t}`" for t in f.tests) for f in FAULTS]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render(), end="")
