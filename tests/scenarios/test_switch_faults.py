"""Who dies at which step of a switch, and what comes of it: the old side serves on, or the new one does; nothing is lost either way.

The switch stops itself at the step named (LEAT_HALT_AT); then the victim is ended, and the switch goes on, if it is not the victim itself. The
table is printed by `make check`'s log of this file (build/check), one line a case.
"""
import json
import os
import signal
import subprocess

import pytest

from clients import Clients
from test_switch import Pair
from wait import wait_for

BEFORE = ("gate", "hold", "lock", "mark", "check", "drain", "rebuild", "decide")   # from each of these on, the old side may serve in the end
AFTER = ("open", "release")                                             # from here on the new one does
STEPS = BEFORE + AFTER
VICTIMS = ("switch", "engine", "back", "pilot", "source", "target", "door")


def stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"


def door_pid(pair):
    return json.loads((pair.leat.state / "run" / "shop.door.0.json").read_text())["pid"]


def hurt(pair, process, victim):
    """Ends the victim, at once."""
    if victim == "switch":
        process.kill()
    elif victim in ("engine", "back"):
        name = "shop+back" if victim == "back" else "shop"
        os.kill(pair.leat_pid(name), signal.SIGKILL)
    elif victim == "door":
        os.kill(door_pid(pair), signal.SIGKILL)
    elif victim == "pilot":
        pair.leat.kill9("pilot")
    else:
        pair.side(victim).kill9()
        pair.side(victim).start()


def one_side(pair):
    """The side that serves, once exactly one does."""
    def found():
        try:
            sides = pair.serving()
        except AssertionError:
            return None   # a server is starting up
        return sides if len(sides) == 1 else None
    return wait_for(found, 60, "one side to serve", show=pair.leat.logs)[0]


def try_case(pair, step, victim):
    """Returns what the command said, and which side serves then."""
    old = one_side(pair)
    command = "cutover" if old == "source" else "rollback"
    process = subprocess.Popen(pair.leat.command(command, "--yes"), cwd=pair.leat.folder, env={**pair.leat.env, "LEAT_HALT_AT": step},
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: process.poll() is not None or stopped(process.pid), 60, f"the switch to come to {step}", show=pair.leat.logs)
    assert process.poll() is None, process.communicate()
    hurt(pair, process, victim)
    for _ in range(20):   # tried again, it comes by there again
        if process.poll() is not None:
            break
        if stopped(process.pid):
            os.kill(process.pid, signal.SIGCONT)
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            pass
    out, _ = process.communicate(timeout=90)
    if victim == "pilot":
        pair.leat.run("start", "--yes")
    now = one_side(pair)
    if step in AFTER:
        assert now != old, f"{step}, {victim}: decided, and the {old} serves: {out}"
    said = "killed" if victim == "switch" else "ok" if process.returncode == 0 else (out.split('"code":"')[1].split('"')[0] if '"code":"' in out else str(process.returncode))
    return said, "new" if now != old else "old"


def go_through(server, migration, victim, steps):
    pair = Pair(server, migration, 15, 15, extra="gates:\n  rehearsals: 0\n  pause: 5s\n", doors=1 if victim == "door" else 0)
    pair.start()
    with Clients(pair.door_dsns() or pair.direct, count=2, pause=0.005, doors_die=True) as clients:
        pair.leat.run("rehearse", "--yes")
        for step in steps:
            pair.ready()
            said, serves = try_case(pair, step, victim)
            print(f"| {step:8} | {victim:8} | {said:16} | {serves} |")
            before = clients.total()
            wait_for(lambda: clients.total() > before + 20, 60, "clients to go on", show=pair.leat.logs)
    assert not clients.errors, clients.errors
    with pair.side(one_side(pair)).conn("shop") as conn:
        assert clients.check(conn) == []
    pair.equal()


@pytest.mark.parametrize("victim", ("switch", "source", "door"))
@pytest.mark.limit(300)
def test_victim_around_the_decision(server, migration, victim):
    go_through(server, migration, victim, ("drain", "decide", "open"))


@pytest.mark.slow
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.limit(600)
def test_victim_at_every_step(server, migration, victim):
    go_through(server, migration, victim, STEPS)
