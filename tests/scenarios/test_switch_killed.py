"""Who is killed where a switch stands between its steps: while it clears its way before anybody is held, and while it shuts the side that was left."""
import contextlib
import json
import os
import signal
import subprocess
import threading

import psycopg2
import pytest

from clients import Clients
from test_deny import PRIVILEGES, lets_in, lives
from test_switch import Pair
from test_switch_faults import one_side
from test_switch_rights import halted
from wait import alive, wait_for, wait_gone

GATES = "gates:\n  rehearsals: 0\n  pause: 2s\n"
WAITS = "select pid from pg_locks where not granted and mode = 'ShareUpdateExclusiveLock'"
# what a switch has open: its sessions, and locks on tables of the store
LEFT = ("select a.application_name, a.query from pg_stat_activity a where a.application_name = 'leat: switch' union all select l.mode, l.relation::regclass::text"
        " from pg_locks l join pg_class c on c.oid = l.relation where c.relnamespace = 'public'::regnamespace and l.mode in ('ShareUpdateExclusiveLock', 'ShareRowExclusiveLock')"
        " and l.pid <> %s")


def prepared(server, migration, doors):
    pair = Pair(server, migration, 15, 15, extra=GATES, doors=doors)
    pair.prepare()
    return pair


def of_door(pair, n):
    return json.loads((pair.leat.state / "run" / f"shop.door.{n}.json").read_text())


def kill(pair, n):
    pid = of_door(pair, n)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_gone(pid)
    return pid


def comes_again(pair, n, before):
    def there():
        door = of_door(pair, n)
        return door["pid"] != before and alive(door["pid"]) and door["phase"] == "serving"
    return wait_for(there, 30, "the door to be there again", show=pair.story)


def through(dsn):
    c = psycopg2.connect(dsn)
    c.autocommit = True
    return c


def answer(process):
    wait_for(lambda: process.poll() is not None, 90, "the command to end")
    out, err = process.communicate()
    return json.loads(out.splitlines()[-1]), out + err


# ---- while the way is cleared ------------------------------------------------------------------------------------

def clearing(pair, side):
    """A command that waits for a lock of somebody's on that side, who is to let it go."""
    conn = pair.side(side).conn("shop")
    with conn.cursor() as c:
        c.execute("begin; lock table entry in share update exclusive mode")
    process = subprocess.Popen(pair.leat.command("cutover", "--yes"), cwd=pair.leat.folder, env=pair.leat.env, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: pair.side(side).sql(WAITS, db="shop"), 60, "the switch to wait", every=0.02, show=pair.story)
    return process, conn


@pytest.mark.parametrize("side", ("source", "target"))
def test_the_switch_killed_while_it_clears_its_way(server, migration, side):
    """Nobody is held, no lock stays, what doors had made ready is given back; and the next one succeeds."""
    pair = prepared(server, migration, 2)
    with Clients(pair.door_dsns(), count=2, pause=0.01) as clients:
        process, conn = clearing(pair, side)
        process.kill()
        process.communicate()
        before = clients.total()
        wait_for(lambda: clients.total() > before + 20, 20, "clients to go on", show=pair.story)
        for s in (pair.old, pair.new):
            wait_for(lambda s=s: not s.sql(LEFT, (conn.info.backend_pid,), db="shop"), 10, "what it had to be gone", show=lambda s=s: str(s.sql(LEFT, (0,), db="shop")))
        assert pair.serving() == ["source"]
        conn.close()
        wait_for(lambda: all(of_door(pair, n)["warm"] == 0 for n in (0, 1)), 20, "the connections made ready to be given back", show=pair.story)
        pair.ready()
        r = pair.leat.run("cutover", "--yes").json
        assert r["authority"] == "target" and r["tries"] == 1, r
        before = clients.total()
        wait_for(lambda: clients.total() > before + 20, 20, "clients to go on", show=pair.story)
    assert not clients.errors, clients.errors
    with pair.new.conn("shop") as conn:
        assert clients.check(conn) == []
    pair.equal()


@pytest.mark.parametrize("comes", (True, False), ids=("again", "away"))
def test_a_door_killed_while_the_way_is_cleared(server, migration, comes):
    """Its clients come anew, the other one's never know; the switch goes through, or says which door is away."""
    pair = prepared(server, migration, 2)
    with contextlib.closing(through(pair.door_dsns()[0])) as other, Clients(pair.door_dsns()[1:], count=2, pause=0.01, doors_die=True) as clients:
        assert lives(other)
        process, conn = clearing(pair, "source")
        if not comes:
            os.kill(pair.leat.pids("pilot")[0], signal.SIGSTOP)   # who would start it again
        pid = kill(pair, 1)
        conn.close()
        r, said = answer(process)
        if comes:
            assert r["ok"] and r["authority"] == "target", said
        else:
            assert process.returncode == 1 and "1 of 2 doors answer" in said, said
            assert pair.serving() == ["source"] and lives(other)
            os.kill(pair.leat.pids("pilot")[0], signal.SIGCONT)
            wait_for(lambda: of_door(pair, 0)["warm"] == 0, 20, "the connections made ready to be given back", show=pair.story)
            comes_again(pair, 1, pid)
            pair.ready()
            pair.leat.run("cutover", "--yes")
        assert one_side(pair) == "target" and lives(other)
        before = clients.total()
        wait_for(lambda: clients.total() > before + 20, 20, "clients to go on", show=pair.story)
    with pair.new.conn("shop") as conn:
        assert clients.check(conn) == []
    pair.equal()


# ---- while the side that was left is shut ------------------------------------------------------------------------

def denying(pair):
    """The command, stopped where it is about to shut the source; and what that let in before."""
    before = pair.old.sql(PRIVILEGES)
    return halted(pair, "deny"), before


def shut(pair):
    return not lets_in(pair.old, "app") and lets_in(pair.old, "postgres") and lets_in(pair.new, "app")


def given_back(pair, before):
    pair.ready()
    pair.leat.run("rollback", "--yes")
    assert pair.old.sql(PRIVILEGES) == before and lets_in(pair.old, "app") and one_side(pair) == "source"


@pytest.mark.parametrize("comes", (True, False), ids=("again", "away"))
def test_a_door_killed_while_the_side_is_shut(server, migration, comes):
    """No session of a door is ended, and nobody is locked out where it counts; a door that is away is said, and the same command ends it."""
    pair = prepared(server, migration, 2)
    with contextlib.closing(through(pair.door_dsns()[0])) as kept, contextlib.closing(through(pair.direct[0])) as past:
        assert lives(kept) and lives(past)
        process, before = denying(pair)
        if not comes:
            os.kill(pair.leat.pids("pilot")[0], signal.SIGSTOP)
        pid = kill(pair, 1)
        os.kill(process.pid, signal.SIGCONT)
        r, said = answer(process)
        assert r["ok"] and r["authority"] == "target" and shut(pair) and lives(kept), said
        if not comes:
            assert "a door does not answer" in r["deny"]["notes"][0] and lives(past), said
            os.kill(pair.leat.pids("pilot")[0], signal.SIGCONT)
            comes_again(pair, 1, pid)
            pair.leat.run("cutover", "--yes", check=3)
        assert not lives(past) and lives(kept)
        comes_again(pair, 1, pid)
        with contextlib.closing(through(pair.door_dsns()[1])) as anew, anew.cursor() as c:
            c.execute("insert into entry values (1, 1, 1, 1) returning inet_server_port()")
            assert c.fetchone()[0] == pair.new.port
            given_back(pair, before)
            assert lives(anew) and lives(kept)


class Comes:
    """Comes past the doors again and again, as one who may."""

    def __init__(self, dsn):
        self.dsn, self.stop, self.count = dsn, threading.Event(), 0
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop.is_set():
            with contextlib.suppress(psycopg2.Error), contextlib.closing(psycopg2.connect(self.dsn)) as c, c.cursor() as cursor:
                self.count += 1
                cursor.execute("select pg_sleep(60)")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(70)


@pytest.mark.parametrize("then", ("cutover", "rollback"))
@pytest.mark.parametrize("where", ("before", "within"))
def test_the_switch_killed_while_it_shuts_the_side(server, migration, where, then):
    """What was there before is known, however often it is begun: the next command ends it, and the way back gives it back."""
    pair = prepared(server, migration, 2)
    with contextlib.closing(through(pair.door_dsns()[0])) as kept, contextlib.closing(through(pair.direct[0])) as past:
        assert lives(kept) and lives(past)
        process, before = denying(pair)
        if where == "before":
            process.kill()
        else:
            with Comes(pair.old.dsn("shop", user="postgres")) as somebody:
                os.kill(process.pid, signal.SIGCONT)
                wait_for(lambda: shut(pair) and somebody.count > 2, 20, "connecting to be refused")
                process.kill()
                pair.old.sql("select pg_terminate_backend(pid) from pg_stat_activity where query = 'select pg_sleep(60)'")
                somebody.stop.set()
                pair.old.sql("select pg_terminate_backend(pid) from pg_stat_activity where query = 'select pg_sleep(60)'")
        process.communicate()
        assert one_side(pair) == "target" and lives(kept) and lets_in(pair.new, "app")
        if then == "cutover":
            assert pair.leat.run("cutover", "--yes", check=3).json["error"]["code"] == "gate"   # the target serves already
            assert shut(pair) and not lives(past) and lives(kept)
            privileges = pair.old.sql(PRIVILEGES)
            pair.leat.run("cutover", "--yes", check=3)
            assert pair.old.sql(PRIVILEGES) == privileges
        given_back(pair, before)
        assert lives(kept)
