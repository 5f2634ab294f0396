"""The lease of a switch lost in its middle: the command stands still, another machine's takes over, and then the first one goes on."""
import contextlib
import json
import os
import signal
import sqlite3

import pytest

from clients import Clients
from test_deny import lets_in
from test_switch import Pair
from test_switch_faults import one_side
from test_switch_rights import halted
from wait import wait_for

GATES = "gates:\n  rehearsals: 0\n  pause: 500ms\n"


def silence(pair):
    """As if its holder had not been heard of for longer than the lease lasts."""
    with contextlib.closing(sqlite3.connect(pair.leat.state / "journal.db", timeout=10)) as db, db:
        assert db.execute("update leases set renewed_at_us = 1, renewed_mono_us = -100000000000000 where name = 'switch:shop' and held").rowcount == 1


def goes_on(process):
    """Its answer; it does not stop at the same step again."""
    wait_for(lambda: process.poll() is not None or os.kill(process.pid, signal.SIGCONT), 90, "the first command to end", every=0.05)
    return process.communicate()


def prepared(server, migration, doors):
    pair = Pair(server, migration, 15, 15, extra=GATES, doors=doors)
    pair.prepare()
    return pair


def done(pair, command):
    """By another command, which has the lease now."""
    last = {}

    def goes():
        last["answer"] = pair.leat.run(command, "--yes", check=False)
        assert last["answer"].status != 4, last["answer"]
        return last["answer"].status == 0 or "serves already" in str(last["answer"])
    wait_for(goes, 60, f"the {command}", show=lambda: str(last["answer"]) + pair.story())


@pytest.mark.parametrize("step", ("hold", "check", "decide", "open", "release"))
def test_another_command_takes_over(server, migration, step):
    """Both say that the target serves; and so it is, with every write."""
    pair = prepared(server, migration, 1)
    with Clients(pair.door_dsns(), count=2, pause=0.01) as clients:
        process = halted(pair, step)
        silence(pair)
        done(pair, "cutover")
        assert one_side(pair) == "target"
        out, err = goes_on(process)
        assert process.returncode == 0 and json.loads(out.splitlines()[-1])["authority"] == "target", out + err
        assert one_side(pair) == "target"
        before = clients.total()
        wait_for(lambda: clients.total() > before + 20, 30, "clients to go on", show=pair.story)
    assert not clients.errors, clients.errors
    with pair.new.conn("shop") as conn:
        assert clients.check(conn) == []
    pair.equal()
    pair.leat.run("rollback", "--yes")


def test_there_and_back_meanwhile(server, migration):
    """What was asked of the first command is over: it does not switch once more, without the lease."""
    pair = prepared(server, migration, 1)
    with Clients(pair.door_dsns(), count=2, pause=0.01) as clients:
        process = halted(pair, "hold")
        silence(pair)
        done(pair, "cutover")
        done(pair, "rollback")
        out, err = goes_on(process)
        assert process.returncode == 4 and '"code":"fenced-out"' in out, out + err
        assert one_side(pair) == "source"
        before = clients.total()
        wait_for(lambda: clients.total() > before + 20, 30, "clients to go on", show=pair.story)
    assert not clients.errors, clients.errors
    with pair.old.conn("shop") as conn:
        assert clients.check(conn) == []
    pair.equal()


def test_a_side_that_another_command_goes_back_to_is_not_shut(server, migration):
    """The first one comes to shutting the side it left when the other one has passed its gate on the way back there."""
    pair = prepared(server, migration, 1)
    first = halted(pair, "deny")
    silence(pair)
    pair.ready()
    second = halted(pair, "hold", "rollback")
    out, err = goes_on(first)
    assert first.returncode == 0 and json.loads(out.splitlines()[-1])["authority"] == "target", out + err
    assert lets_in(pair.old, "app"), "it took CONNECT away where clients are to go"
    out, err = goes_on(second)
    assert second.returncode == 0 and json.loads(out.splitlines()[-1])["tries"] == 1, out + err
    assert one_side(pair) == "source" and lets_in(pair.old, "app")
