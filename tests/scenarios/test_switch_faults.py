"""Who dies at which step of a switch, or whose way to a server is cut, and what comes of it: the old side serves on, or the new one does; nothing
is lost either way.

The switch stops itself at the step named (LEAT_HALT_AT); then the victim is ended, and the switch goes on, if it is not the victim itself. A leg is
the connections of one of door, switch and engine to one server: reset, or silent (half-open: packets vanish, nobody is told), and those that are
made anew too, for OUTAGE seconds. The table is printed, one line a case: by `make soak`, and by `make check` into its log of this file (build/check).
"""
import contextlib
import json
import os
import signal
import subprocess
import time

import pytest

from clients import Clients
from proxy import Proxy
from test_switch import Pair
from wait import wait_for

BEFORE = ("gate", "hold", "lock", "mark", "check", "drain", "rebuild", "prepare", "decide")   # from each of these on, the old side may serve in the end
AFTER = ("open", "release")                                             # from here on the new one does
STEPS = BEFORE + AFTER
VICTIMS = ("switch", "engine", "back", "pilot", "source", "target", "door")
OUTAGE = 4
NAMES = {"door": {"door", "door types", "door users", "app"}, "switch": {"switch"}}   # application_name; the engine has all others
LEGS = tuple(f"{who}-{side}" for who in ("door", "switch", "engine") for side in ("source", "target"))
HOWS = ("cut", "silence")
# A server that is not told ends its session, and lets go of what that has locked, when its own keepalive says so: two hours unless it is set.
SOON = {"tcp_keepalives_idle": 1, "tcp_keepalives_interval": 1, "tcp_keepalives_count": 3, "tcp_user_timeout": 1500}


def is_of(who):
    return (lambda name: name in NAMES[who]) if who in NAMES else (lambda name: not any(name in names for names in NAMES.values()))


class NetPair(Pair):
    """Leat reaches both servers through a network that can fail; clients come through a door of leat's."""

    def __init__(self, server, migration, nets, extra):
        self.nets, self.stack = {}, nets
        super().__init__(server, migration, 15, 15, extra=extra, doors=1, settings=SOON)

    def config(self, extra):
        text = super().config(extra)
        for name, one in (("source", self.old), ("target", self.new)):
            self.nets[name] = self.stack.enter_context(Proxy(one.port))
            dsn = one.dsn("shop", user="leat")
            text = text.replace(dsn, self.nets[name].dsn(dsn))
        return text

    def fail(self, leg, how):
        who, side = leg.split("-")
        return self.nets[side].fail(how, is_of(who))

    def heal(self):
        for net in self.nets.values():
            net.heal()


def stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"


def door_pid(pair):
    return json.loads((pair.leat.state / "run" / "shop.door.0.json").read_text())["pid"]


def hurt(pair, process, victim):
    """Ends the victim, at once; or cuts a leg: "door-source cut"."""
    if " " in victim:
        assert pair.fail(*victim.split()) > 0, f"there was no connection of {victim}"
    elif victim == "switch":
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
    return wait_for(found, 60, "one side to serve", show=pair.story)[0]


def try_case(pair, step, victim):
    """Returns what the command said, and which side serves then."""
    old = one_side(pair)
    command = "cutover" if old == "source" else "rollback"
    process = subprocess.Popen(pair.leat.command(command, "--yes"), cwd=pair.leat.folder, env={**pair.leat.env, "LEAT_HALT_AT": step},
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: process.poll() is not None or stopped(process.pid), 60, f"the switch to come to {step}", show=pair.story)
    assert process.poll() is None, process.communicate()
    hurt(pair, process, victim)
    for _ in range(20):   # tried again, it comes by there again
        if process.poll() is not None:
            break
        if stopped(process.pid):
            os.kill(process.pid, signal.SIGCONT)
        try:
            process.wait(OUTAGE)
        except subprocess.TimeoutExpired:
            pass
        if " " in victim:
            pair.heal()
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
    try_all(pair, [(step, victim) for step in steps])


def go_through_legs(server, migration, cases):
    with contextlib.ExitStack() as nets:
        pair = NetPair(server, migration, nets, "gates:\n  rehearsals: 0\n  pause: 700ms\n")
        try_all(pair, cases)


def try_all(pair, cases):
    pair.start()
    dsns = [dsn + "?application_name=app" for dsn in pair.door_dsns()] or pair.direct
    with Clients(dsns, count=2, pause=0.02, doors_die=True) as clients:
        pair.leat.run("rehearse", "--yes")
        for step, victim in cases:
            pair.ready()
            began = time.monotonic()
            said, serves = try_case(pair, step, victim)
            before = clients.total()
            wait_for(lambda: clients.total() > before + 20, 60, "clients to go on", show=pair.story)
            print(f"| {step:8} | {victim:22} | {said:16} | {serves} | {time.monotonic() - began:4.1f} s |", flush=True)
    assert not clients.errors, clients.errors
    with pair.side(one_side(pair)).conn("shop") as conn:
        assert clients.check(conn) == []
    pair.equal()


@pytest.mark.parametrize("victim", ("switch", "source", "door"))
def test_victim_around_the_decision(server, migration, victim):
    go_through(server, migration, victim, ("drain", "decide", "open"))


@pytest.mark.slow
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.limit(600)
def test_victim_at_every_step(server, migration, victim):
    go_through(server, migration, victim, STEPS)


@pytest.mark.parametrize("case", (("hold", "door-source silence"), ("drain", "engine-source cut"), ("decide", "switch-source silence"), ("release", "door-target cut")), ids=" ".join)
def test_leg_cut(server, migration, case):
    go_through_legs(server, migration, [case])


@pytest.mark.slow
@pytest.mark.parametrize("leg", LEGS)
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.limit(600)
def test_every_leg_cut_at_every_step(server, migration, leg, how):
    go_through_legs(server, migration, [(step, f"{leg} {how}") for step in STEPS])
