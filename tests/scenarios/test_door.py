"""The SQL door: what passes through it, and what becomes of sessions when they are held, moved and released."""
import contextlib
import fcntl
import json
import os
import signal
import ssl
import struct
import subprocess
import threading
import time

import psycopg2
import pytest

from door import Control, Door, decide, make_authority, switch
from rawpg import Raw, Refused, bind, columns, describe, describe_portal, execute, message, parse, query, startup_packet, sync
from servers import bin_dir
from wait import wait_for

PGBENCH = str(bin_dir(15) / "pgbench")


@pytest.fixture
def pair(server, tmp_path):
    """pair(old major, new major): two servers with their authority, and a door before them."""
    made = []

    def make(old_major=15, new_major=15, **kwargs):
        old, new = server(old_major, "old"), server(new_major, "new")
        source, target = old.createdb("shop"), new.createdb("shop_new")
        made.append(Door(tmp_path / "door", source, target, sides=make_authority(old, new, "shop", "shop_new"), **kwargs))
        return old, new, made[-1]
    yield make
    for one in made:
        one.close()


def value(connection, sql, args=None):
    with connection.cursor() as cur:
        cur.execute(sql, args)
        return cur.fetchone()[0] if cur.description else None


class Later:
    """A statement that runs in a thread, because it has to wait."""

    def __init__(self, connection, sql):
        self.error = self.result = None

        def work():
            try:
                self.result = value(connection, sql)
            except psycopg2.Error as e:
                self.error = e
        self.thread = threading.Thread(target=work)
        self.thread.start()

    def wait(self):
        self.thread.join(30)
        assert not self.thread.is_alive(), "it still waits"
        if self.error:
            raise self.error
        return self.result

    def waits(self):
        return self.thread.is_alive()


# ---- what passes -------------------------------------------------------------------------------------------------

def test_statements_and_errors_pass(pair):
    old, _, door = pair()
    c = door.connect(application_name="one")
    assert value(c, "select current_database() || current_setting('application_name')") == "shopone"
    assert len(value(c, "select repeat('x', 30000000)")) == 30000000
    with pytest.raises(psycopg2.errors.DivisionByZero):
        value(c, "select 1/0")
    assert value(c, "select 1") == 1
    assert old.one("select count(*) from pg_stat_activity where datname = 'shop' and application_name = 'one'") == 1
    c.close()
    wait_for(lambda: old.one("select count(*) from pg_stat_activity where application_name = 'one'") == 0, 10, "the server session to end")


@pytest.mark.parametrize("startup, state", [
    ({"dbname": "other"}, "3D000"),
    ({"replication": "database"}, "0A000"),
])
def test_what_it_refuses_it_says(pair, startup, state):
    _, _, door = pair()
    with pytest.raises(psycopg2.OperationalError) as e:
        psycopg2.connect(**{"host": "127.0.0.1", "port": door.port, "dbname": "shop", "user": "postgres", **startup})
    assert {"3D000": "leads to the database", "0A000": "replication connection"}[state] in str(e.value)


def test_a_cancel_reaches_the_statement(pair):
    old, _, door = pair()
    c = door.connect()
    running = Later(c, "select pg_sleep(60)")
    wait_for(lambda: old.one("select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'") == 1, 10, "it to run")
    c.cancel()
    with pytest.raises(psycopg2.errors.QueryCanceled):
        running.wait()
    assert value(c, "select 1") == 1


# ---- held, and let go --------------------------------------------------------------------------------------------

def test_held_and_released_where_it_was(pair):
    old, _, door = pair()
    a, b = door.connect(), door.connect(autocommit=False)
    pid = value(a, "select pg_backend_pid()")
    value(b, "select 1")
    door.control.send(do="hold", epoch=0, attempt=door.attempt(), deadline_ms=20000)
    door.wait_phase("holding")
    waiting = Later(a, "select pg_backend_pid()")
    b.commit()
    answer = door.control.receive()
    assert answer["ok"] and answer["held"] == 2
    assert waiting.waits()
    released = door.release("source", 0)
    assert released["ok"] and released["moved"] == 0 and released["failed"] == 0
    assert waiting.wait() == pid
    assert value(b, "select 2") == 2


def test_a_hold_that_cannot_be_names_who_keeps_it(pair):
    _, _, door = pair()
    b = door.connect(autocommit=False, application_name="slow")
    value(b, "select 1")
    answer = door.hold(deadline_ms=300)
    assert not answer["ok"]
    assert [(w["application"], w["what"]) for w in answer["why"]] == [("slow", "idle in a transaction")]
    door.wait_phase("serving")
    assert value(b, "select 2") == 2
    b.commit()
    assert door.hold()["ok"]
    assert door.release("source", 0)["ok"]


def test_a_held_request_can_be_cancelled(pair):
    _, _, door = pair()
    a = door.connect()
    assert door.hold()["held"] == 1
    waiting = Later(a, "select 'never'")
    wait_for(lambda: a.cancel() or not waiting.waits(), 10, "the cancel to be heard")
    with pytest.raises(psycopg2.errors.QueryCanceled):
        waiting.wait()
    assert door.release("source", 0)["ok"]
    assert value(a, "select 1") == 1


def test_a_held_request_that_was_cancelled_keeps_nobody_from_moving(pair):
    """What is dropped changes nothing of a session that is known beforehand."""
    _, _, door = pair()
    a = door.connect()
    assert door.warm()["ok"] and door.hold()["held"] == 1
    waiting = Later(a, "select 'never'")
    wait_for(lambda: a.cancel() or not waiting.waits(), 10, "the cancel to be heard")
    with pytest.raises(psycopg2.errors.QueryCanceled):
        waiting.wait()
    assert door.rebuild()["ok"]
    assert door.release("target", 1)["moved"] == 1
    assert value(a, "select current_database()") == "shop_new"


def test_what_was_made_beforehand_is_made_again_where_it_is_lost(pair):
    """While all are held: the session is asked what it is, and made anew."""
    _, new, door = pair()
    a = door.connect()
    value(a, "set work_mem = '7MB'")
    assert door.warm()["ok"] and door.hold()["held"] == 1
    new.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'shop_new' and usename = 'postgres' and application_name not like 'leat%' and backend_type = 'client backend'")
    wait_for(lambda: door.open_control().ask(do="status")["warm"] == 0, 10, "the door to hear of it")
    assert door.rebuild()["ok"]
    assert door.release("target", 1)["moved"] == 1
    assert value(a, "show work_mem") == "7MB"


def test_a_new_client_waits_while_held(pair):
    _, _, door = pair()
    assert door.hold()["ok"]
    done = []
    t = threading.Thread(target=lambda: done.append(value(door.connect(), "select 7")))
    t.start()
    wait_for(lambda: door.open_control().ask(do="status")["clients"] == 1, 10, "the client to be there")
    assert not done
    assert door.release("source", 0)["ok"]
    t.join(20)
    assert done == [7]


# ---- without the pilot -------------------------------------------------------------------------------------------

def test_the_pilot_gone_the_door_goes_back(pair):
    _, _, door = pair()
    a = door.connect()
    before = door.attempt()
    assert door.hold()["ok"]
    waiting = Later(a, "select 5")
    door.control.close()
    door.control = door.open_control()
    assert waiting.wait() == 5
    assert door.row("source")[2] == before + 1
    door.wait_phase("serving")


def test_the_pilot_gone_after_the_decision_the_door_goes_forward(pair):
    old, new, door = pair()
    a = door.connect()
    assert door.warm()["ok"]
    assert door.hold()["ok"]
    assert door.rebuild()["rebuilt"] == 1
    waiting = Later(a, "select current_database()")
    decide(old, "shop", 1)
    door.control.close()
    door.control = door.open_control()
    assert waiting.wait() == "shop_new"
    assert new.sql("select epoch, side, open from leat.authority", db="shop_new") == [(1, "target", True)]
    assert door.wait_phase("serving")["view"] == {"epoch": 1, "side": "target"}
    assert value(door.connect(), "select current_database()") == "shop_new"


def test_clients_do_not_wait_for_this_machines_disk(pair):
    """Which epoch served is written down once they were let go."""
    old, _, door = pair()
    a = door.connect()
    assert door.warm()["ok"] and door.hold()["ok"] and door.rebuild()["ok"]
    waiting = Later(a, "select current_database()")
    decide(old, "shop", 1)
    folder = os.open(door.state, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)   # as by somebody whose write does not end
    door.control.close()
    door.control = door.open_control()
    assert waiting.wait() == "shop_new"
    os.close(folder)
    least = door.state / "shop.least-epoch"
    wait_for(lambda: least.exists() and least.read_text() == "1\n", 10, "the epoch to be written down")


def test_a_door_that_starts_ends_what_may_be_under_way(pair):
    """It was held by nobody: an attempt that was decided now would shut its side under it."""
    old, _, door = pair()
    door.close()
    before = door.row("source")[2]
    door.start()
    assert old.one("select leat.decide('test', 'shop', 0, %s)", (before,), db="shop") is False
    assert door.row("source") == (0, "source", before + 1, True)


def test_a_door_that_starts_after_a_decision_opens_the_other_side(pair):
    old, _, door = pair()
    door.close()
    decide(old, "shop", 1)
    door.start()
    assert door.row("target") == (1, "target", 1, True)   # by its own compare-and-set
    assert (door.state / "shop.least-epoch").read_text() == "1\n"   # for when neither row says so any more; no command was there to
    assert value(door.connect(), "select current_database()") == "shop_new"


def test_a_switch_that_went_without_the_door_is_followed(pair):
    _, _, door = pair()
    moves, stays, reads = door.connect(application_name="moves"), door.connect(), door.connect(autocommit=False)
    value(moves, "set work_mem = '7MB'")
    value(stays, "create temp table mine (n int)")
    value(reads, "select 1")
    switch(door.sides, "target", 1)
    wait_for(lambda: door.status()["view"] == {"epoch": 1, "side": "target"}, 20, "the door to follow", show=lambda: door.log.read_text())
    door.wait_phase("serving")
    assert value(moves, "select current_database() || current_setting('work_mem') || current_setting('application_name')") == "shop_new7MBmoves"
    for ended in (stays, reads):
        with pytest.raises(psycopg2.Error):
            value(ended, "select 1")
    switch(door.sides, "source", 2)   # and back
    wait_for(lambda: value(moves, "select current_database()") == "shop", 20, "the door to follow back", show=lambda: door.log.read_text())
    assert door.hold(epoch=2)["ok"] and door.release("source", 2)["ok"]


def test_there_and_back_without_the_door_while_it_holds(pair):
    _, _, door = pair()
    a = door.connect()
    assert door.hold(deadline_ms=1500)["ok"]
    waiting = Later(a, "select current_database()")
    switch(door.sides, "target", 1)
    switch(door.sides, "source", 2)
    assert waiting.wait() == "shop"
    assert door.wait_phase("serving")["view"] == {"epoch": 2, "side": "source"}


def test_a_release_counts_from_who_holds_and_never_of_an_epoch_before(pair):
    _, _, door = pair()
    a = door.connect()
    assert move(door)["moved"] == 1
    stranger = door.open_control()
    assert "later epoch" in stranger.ask(do="release", side="source", epoch=0)["why"]
    assert door.hold(epoch=1)["ok"]
    waiting = Later(a, "select current_database()")
    assert "another connection holds" in stranger.ask(do="release", side="target", epoch=1)["why"]
    assert waiting.waits()
    assert door.release("target", 1)["ok"]
    assert waiting.wait() == "shop_new"
    stranger.close()


def test_with_no_server_answering_it_holds_and_tries_again(pair):
    old, new, door = pair()
    a = door.connect()
    assert door.warm()["ok"]
    assert door.hold()["ok"]
    assert door.rebuild()["ok"]
    decide(old, "shop", 1)
    old.stop("immediate")
    new.stop("immediate")
    door.control.close()
    door.control = door.open_control()
    waiting = Later(a, "select current_database()")
    assert wait_for(lambda: door.status().get("settling", {}).get("trouble"), 20, "the door to say what keeps it")
    assert door.status()["phase"] == "settling" and waiting.waits()
    new.start()
    old.start()
    door.wait_phase("serving")
    assert door.status()["view"] == {"epoch": 1, "side": "target"}


@contextlib.contextmanager
def asleep(server):
    """None of its processes gets to run: packets are answered, and nothing else."""
    pids = [server.pid, *server.backends()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in server.backends() + [server.pid]:
            os.kill(pid, signal.SIGCONT)


def test_a_server_that_hangs_keeps_no_answer_from_who_asks(pair):
    """A hold is refused by its deadline, and clients of the side that serves go on meanwhile; status is answered at once."""
    _, new, door = pair()
    a = door.connect()
    assert door.warm()["ok"]
    assert door.release("source", 0)["ok"]
    attempt = door.attempt()
    with asleep(new):
        watcher = door.open_control()
        door.control.send(do="hold", epoch=0, attempt=attempt, deadline_ms=1500)
        began = time.monotonic()
        assert watcher.ask(do="status")["phase"] == "serving"
        assert time.monotonic() - began < 1
        assert value(a, "select 1") == 1
        answer = door.control.receive()
        assert not answer["ok"] and "does not answer" in answer["why"], answer
        assert time.monotonic() - began < 4
        watcher.close()
    wait_for(lambda: door.hold()["ok"], 30, "a hold once it answers")
    assert door.release("source", 0)["ok"]
    assert value(a, "select current_database()") == "shop"


def test_whoever_asks_and_does_not_listen_keeps_no_answer_from_others(pair):
    """A hold's deadline is kept meanwhile, too: its clients go on."""
    _, _, door = pair()
    a = door.connect()
    assert door.hold(deadline_ms=2000)["ok"]
    waiting = Later(a, "select current_database()")
    deaf = door.open_control()
    deaf.socket.setblocking(False)
    line = json.dumps({"do": "status"}).encode() + b"\n"
    with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
        for _ in range(5000):
            deaf.socket.sendall(line)
    assert waiting.wait() == "shop"
    assert door.wait_phase("serving")
    assert door.open_control().ask(do="status")["phase"] == "serving"
    deaf.close()


def test_a_door_that_starts_asks_who_serves(pair):
    old, new, door = pair()
    door.close()
    switch(door.sides, "target", 1)
    door.start()
    assert door.status()["view"] == {"epoch": 1, "side": "target"}
    assert value(door.connect(), "select current_database()") == "shop_new"


# ---- moved -------------------------------------------------------------------------------------------------------

def test_a_session_moves(pair):
    old, new, door = pair(13, 17)
    a = door.connect()
    b = door.connect()
    assert value(a, "select current_setting('server_version_num')::int / 10000") == 13
    assert door.warm() == {"ok": True, "warm": 2, "failed": [], "ms": pytest.approx(0, abs=10000)}
    assert door.hold()["held"] == 2
    waiting = Later(a, "select current_setting('server_version_num')::int / 10000")
    assert door.rebuild()["rebuilt"] == 2
    answer = door.release("target", 1)
    assert (answer["moved"], answer["failed"]) == (2, 0)
    assert waiting.wait() == 17
    assert value(b, "select current_database()") == "shop_new"
    assert a.server_version // 10000 in (13, 17) and b.get_parameter_status("server_version").startswith("17")
    assert door.status()["view"] == {"epoch": 1, "side": "target"}


def move(door, epoch=0):
    """The whole way to the other side."""
    to = "target" if door.status()["view"]["side"] == "source" else "source"
    warmed = door.warm(side=to)
    assert warmed["ok"], warmed
    held = door.hold(epoch=epoch)
    assert held["ok"], held
    rebuilt = door.rebuild()
    assert rebuilt["ok"], rebuilt
    released = door.release(to, epoch + 1)
    assert released["ok"] and released["failed"] == 0, released
    return released


def test_what_a_session_has_moves_with_it(pair):
    old, new, door = pair(13, 17)
    for server, db in ((old, "shop"), (new, "shop_new")):
        server.sql("create role clerk; create schema side; create table side.t (n int); insert into side.t values (4); grant usage on schema side to clerk; grant select on side.t to clerk", db=db)
    c = door.connect()
    value(c, "set search_path = side, public; set statement_timeout = '1234s'; set datestyle = 'German'; set shop.tenant = 'a''b'; set application_name = 'moves'")
    value(c, "prepare by_sql (int) as select n + $1 from t; set role clerk")
    value(c, "listen news")
    assert move(door)["moved"] == 1
    assert value(c, "select current_database()") == "shop_new"
    assert value(c, "execute by_sql(3)") == 7
    assert value(c, "show statement_timeout") == "1234s"
    assert value(c, "show shop.tenant") == "a'b"
    assert value(c, "select current_user::text") == "clerk"
    assert value(c, "select date '2026-02-01'::text") == "01.02.2026"
    assert value(c, "show application_name") == "moves"
    new.sql("notify news, 'here'", db="shop_new")
    wait_for(lambda: value(c, "select 1") and c.notifies, 10, "the notification")
    assert c.notifies[0].payload == "here"


def test_a_notification_of_the_last_moment_is_not_lost(pair):
    old, _, door = pair()
    c = door.connect()
    value(c, "listen news")
    assert door.warm()["ok"] and door.hold()["ok"] and door.rebuild()["ok"]
    old.sql("notify news, 'last'", db="shop")
    assert door.release("target", 1)["moved"] == 1
    assert value(c, "select current_database()") == "shop_new"
    assert [n.payload for n in c.notifies] == ["last"]


@pytest.mark.parametrize("makes, why, ends", [
    ("create temp table scratch (n int)", "temporary", "drop table scratch"),
    ("select pg_advisory_lock(77)", "advisory", "select pg_advisory_unlock(77)"),
])
def test_what_cannot_move_is_named_and_waited_for(pair, makes, why, ends):
    _, _, door = pair()
    c = door.connect(application_name="stuck")
    value(c, makes)
    assert door.warm()["ok"]
    named = wait_for(lambda: door.status()["unmovable"], 10, "the session to be named")
    assert named[0]["application"] == "stuck" and why in named[0]["why"]
    door.control.send(do="hold", epoch=0, attempt=door.attempt(), deadline_ms=20000)
    door.wait_phase("holding")
    value(c, ends)   # it goes on, and becomes movable
    assert door.control.receive()["ok"]
    assert door.rebuild()["ok"] and door.release("target", 1)["moved"] == 1
    assert value(c, "select current_database()") == "shop_new"


def test_what_cannot_move_is_ended_where_that_is_wanted(pair):
    _, _, door = pair(extra="    door_unmovable: terminate\n")
    c = door.connect()
    value(c, "create temp table scratch (n int)")
    assert move(door)["moved"] == 0
    words = os.read(c.fileno(), 4096)   # libpq throws them away when it is idle
    assert b"57P01" in words and b"cannot be moved" in words


def test_a_statement_that_the_other_side_refuses_keeps_all_here(pair):
    old, _, door = pair()
    old.sql("create table only_here (n int)", db="shop")
    c = door.connect(application_name="refused")
    value(c, "prepare q as select n from only_here")
    assert door.warm()["ok"] and door.hold()["ok"]
    answer = door.rebuild()
    assert not answer["ok"] and answer["why"][0]["application"] == "refused" and "only_here" in answer["why"][0]["why"]
    assert door.release("source", 0)["ok"]
    assert value(c, "select current_database()") == "shop"


def test_there_and_back_under_load(pair):
    """pgbench in every mode, while its sessions move up to ten times; not one failed transaction."""
    old, new, door = pair(15, 17)
    for server, db in ((old, "shop"), (new, "shop_new")):
        run_pgbench(server.dsn(db), "-i", "-q", "-s", "1")
    loads = [start_pgbench(door, "-S", "-c", "4", "-T", "8", "-M", mode) for mode in ("simple", "extended", "prepared")]
    wait_for(lambda: door.status()["active"] == 12, 20, "all to be connected")
    moved = []
    while len(moved) < 10 and all(load.poll() is None for load in loads):   # beside other work eight seconds may be over sooner
        moved.append(move(door, epoch=len(moved))["moved"])
    assert moved[0] == 12 and set(moved[:-1]) <= {12}, moved
    for load in loads:
        out, _ = load.communicate(timeout=60)
        assert load.returncode == 0 and "number of failed transactions: 0 " in out, out


def run_pgbench(dsn, *args):
    subprocess.run([PGBENCH, *args, dsn], check=True, capture_output=True, text=True)


def start_pgbench(door, *args):
    return subprocess.Popen([PGBENCH, "-n", *args, door.dsn()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


# ---- who comes in ------------------------------------------------------------------------------------------------

@pytest.fixture
def guarded(server, tmp_path):
    """Two servers that ask for SCRAM, the same roles on both, and a door that trusts nobody."""
    made = []

    def make(roles, **kwargs):
        old, new = server(15, "old", auth="scram"), server(17, "new", auth="scram")
        for one, db in ((old, "shop"), (new, "shop_new")):
            one.createdb(db)
        for name, (password, method) in roles.items():
            old.sql(f"set password_encryption = '{method}'; create role {name} login password '{password}'")
            new.sql(f"create role {name} login password '{old.one('select rolpassword from pg_authid where rolname = %s', (name,))}'")
            if method == "md5":
                for one, db in ((old, "shop"), (new, "shop_new")):
                    one.set_hba([f"host all {name} 127.0.0.1/32 md5"])
        sides = make_authority(old, new, "shop", "shop_new")
        made.append(Door(tmp_path / "door", old.dsn("shop"), new.dsn("shop_new"), trust="[]", sides=sides, **kwargs))
        return old, new, made[-1]
    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("method", ["scram-sha-256", "md5"])
def test_a_password_that_the_door_does_not_know_opens_both_sides(guarded, method):
    old, new, door = guarded({"app": ("open sesame", method)})
    c = door.connect("app", password="open sesame")
    assert value(c, "select current_user || current_database()") == "appshop"
    assert move(door)["moved"] == 1
    assert value(c, "select current_user || current_database()") == "appshop_new"
    for user, password in (("app", "wrong"), ("nobody_here", "open sesame")):
        with pytest.raises(psycopg2.OperationalError) as e:
            door.connect(user, password=password)
        assert f'password authentication failed for user "{user}"' in str(e.value)


def test_a_password_changed_on_the_server_is_seen(guarded):
    old, _, door = guarded({"app": ("one", "scram-sha-256")})
    value(door.connect("app", password="one"), "select 1")
    old.sql("alter role app password 'two'")

    def comes_in():
        try:
            return value(door.connect("app", password="two"), "select 1")
        except psycopg2.OperationalError:
            return None
    assert wait_for(comes_in, 10, "the new password to be known") == 1


def test_another_password_on_the_other_side_is_named_before_anything_moves(guarded):
    old, new, door = guarded({"app": ("one", "scram-sha-256")})
    new.sql("alter role app password 'one'")   # the same word, another salt
    c = door.connect("app", password="one")
    answer = door.warm()
    assert not answer["ok"] and "holds another password" in answer["failed"][0]["why"]
    assert value(c, "select 1") == 1
    new.sql("update pg_authid set rolpassword = %s where rolname = 'app'", (old.one("select rolpassword from pg_authid where rolname = 'app'"),))
    assert move(door)["moved"] == 1   # once it is mended


def test_a_userlist_lets_in_where_pg_authid_is_not_read(guarded, tmp_path):
    (tmp_path / "door").mkdir()
    (tmp_path / "door" / "users.txt").write_text('"app" "open sesame" ; in clear\n')
    _, _, door = guarded({"app": ("open sesame", "scram-sha-256")}, extra="    door_users: users.txt\n")
    c = door.connect("app", password="open sesame")
    assert move(door)["moved"] == 1
    assert value(c, "select current_database()") == "shop_new"
    with pytest.raises(psycopg2.OperationalError):
        door.connect("app", password="wrong")


# ---- TLS ---------------------------------------------------------------------------------------------------------

def certificate(folder, name="localhost"):
    """door.crt and door.key, signed by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
                    "-keyout", folder / "door.key", "-out", folder / "door.crt"], check=True, capture_output=True)
    return folder / "door.crt", folder / "door.key"


def test_tls_on_both_legs(server, tmp_path):
    crt, key = certificate(tmp_path / "door")
    old, new = server(15, "old", start=False), server(17, "new", start=False)
    for one in (old, new):
        one._write("server.crt", crt.read_text())
        one._write("server.key", key.read_text())
        (one.data / "server.key").chmod(0o600)
        one.configure(ssl="on")
        one.start()
        one.set_hba(["hostssl all all 127.0.0.1/32 trust", "hostnossl all all 127.0.0.1/32 reject"])
    source, target = (f"postgresql://postgres@localhost:{one.port}/{db}?sslmode=verify-full&sslrootcert={crt}" for one, db in ((old, "shop"), (new, "shop_new")))
    old.createdb("shop"), new.createdb("shop_new")
    sides = make_authority(old, new, "shop", "shop_new")
    tls = "    door_tls: {cert: ./door.crt, key: ./door.key, require: yes}\n"
    with Door(tmp_path / "door", source, target, extra=tls, database="shop", sides=sides) as door:
        c = door.connect(sslmode="verify-full", sslrootcert=str(crt), host="localhost", hostaddr="127.0.0.1")
        assert len(value(c, "select repeat('y', 5000000)")) == 5000000
        assert value(c, "select ssl from pg_stat_ssl where pid = pg_backend_pid()") is True
        assert move(door)["moved"] == 1
        assert value(c, "select current_database()") == "shop_new"
        assert value(c, "select length(%s)", ("z" * 3000000,)) == 3000000
        with pytest.raises(psycopg2.OperationalError) as e:
            door.connect(sslmode="disable")
        assert "asks for TLS" in str(e.value)
        assert direct_tls(door, crt, ["postgresql"]) == b"R"
        assert direct_tls(door, crt, None) == b""


def direct_tls(door, crt, protocols):
    """The first byte of the answer to a session begun in TLS from the first byte on (as 17 does)."""
    context = ssl.create_default_context(cafile=str(crt))
    if protocols:
        context.set_alpn_protocols(protocols)
    try:
        with context.wrap_socket(door.raw(), server_hostname="localhost") as s:
            s.sendall(startup_packet(user="postgres", database="shop"))
            return s.recv(1)
    except (ssl.SSLError, ConnectionError):
        return b""


# ---- by hand: what no driver sends -------------------------------------------------------------------------------

TYPES = "create type mood as enum ('sad', 'glad'); create type pair as (m mood, n int); create table moods (id int, m mood, p pair, ms mood[]);" \
        "insert into moods values (1, 'glad', row('sad', 4), '{sad,glad}')"


def test_types_are_renumbered_for_a_session_that_moved(pair):
    """Binary values that name types by number, in both directions, by the numbers the client learned where it came first."""
    old, new, door = pair(13, 17)
    old.sql(TYPES, db="shop")
    new.sql("create type one as (n int); create type two as (n int); create table three (n int)", db="shop_new")
    new.sql(TYPES, db="shop_new")
    numbers = {name: [int(s.one("select %s::regtype::oid", (name,), db=db)) for s, db in ((old, "shop"), (new, "shop_new"))] for name in ("mood", "pair", "mood[]")}
    assert all(here != there for here, there in numbers.values())
    with Raw(door.port, db="shop") as c:
        c.send(parse("named", "select m, p, ms from moods where m = $1 and p = $2", (numbers["mood"][0], numbers["pair"][0])), sync())
        c.send(parse("told", "select $1::mood[]"), sync())
        binary_pair = struct.pack("!iIi3sIii", 2, numbers["mood"][0], 3, b"sad", 23, 4, 4)
        binary_list = struct.pack("!iiIii", 1, 0, numbers["mood"][0], 2, 1) + struct.pack("!i3si4s", 3, b"sad", 4, b"glad")
        asked = [bind("named", (b"glad", binary_pair), (1,), (1,)), execute(), bind("told", (binary_list,), (1,), (1,)), describe_portal(), execute(), sync()]
        before = c.send(*asked)
        described = c.send(describe("named"), sync())
        assert len([1 for kind, _ in before if kind == b"D"]) == 2
        assert move(door)["moved"] == 1
        assert c.sql("select current_database()") == [["shop_new"]]
        assert c.send(*asked) == before
        again = c.send(describe("named"), sync())
        assert again[0] == described[0]   # ParameterDescription
        assert column_types(again[1][1]) == column_types(described[1][1]) == [numbers["mood"][0], numbers["pair"][0], numbers["mood[]"][0]]
        assert c.rows(parse("", "select $1::mood", (numbers["mood"][0],)), bind("", (b"sad",)), execute(), sync()) == [[b"sad"]]
        with pytest.raises(Refused):
            c.send(bind("never there", (binary_list,), (1,)), execute(), sync())
        assert c.sql("select 1") == [["1"]]
        assert move(door, epoch=1)["moved"] == 1
        c.sql("select 1")   # parameters that changed come before it
        assert c.send(*asked) == before


def column_types(row_description):
    (count,), at, types = struct.unpack("!H", row_description[:2]), 2, []
    for _ in range(count):
        at = row_description.index(b"\0", at) + 1
        types.append(struct.unpack("!I", row_description[at + 6:at + 10])[0])
        at += 18
    return types


def test_the_unnamed_statement_moves_and_a_failed_one_does_not(pair):
    _, _, door = pair()
    with Raw(door.port, db="shop") as c, Raw(door.port, db="shop") as d:
        c.send(parse("", "select 40 + $1::int"), sync())
        with pytest.raises(Refused):
            d.send(parse("", "select nonsense from nowhere"), sync())
        assert move(door)["moved"] == 2
        assert c.rows(bind("", (b"2",)), execute(), sync()) == [[b"42"]]
        with pytest.raises(Refused) as e:
            d.send(bind(""), execute(), sync())
        assert e.value.fields["C"] == "26000"


def test_asked_again_it_is_what_it_became_that_moves(pair):
    """Warmed a second time, as the gate does just before the hold: what was made the first time counts only while the session is that still."""
    old, _, door = pair()
    old.sql("create type mood as enum ('sad')", db="shop")   # there alone
    mood = int(old.one("select 'mood'::regtype::oid", db="shop"))
    with Raw(door.port, db="shop") as c, Raw(door.port, db="shop") as d:
        c.sql("set work_mem = '6MB'")
        d.sql("set work_mem = '6MB'")
        assert door.warm()["ok"]
        c.sql("set work_mem = '7MB'")
        d.sql("set work_mem = '7MB'")
        d.send(parse("", "select $1::mood", (mood,)), sync())
        assert door.warm()["ok"] and door.hold()["ok"]
        refused = door.rebuild()
        assert not refused["ok"] and len(refused["why"]) == 1, refused   # d's unnamed statement cannot be there
        assert door.release("source", 0)["ok"]
        assert d.sql("show work_mem") == [["7MB"]]
        assert move(door)["moved"] == 2
        assert [x.sql("show work_mem") for x in (c, d)] == [[["7MB"]]] * 2


def test_a_pipeline_is_held_at_its_boundary_and_loses_nothing(pair):
    """Fifty batches in one write, and sessions moved under them: every answer comes, in order."""
    old, new, door = pair()
    with Raw(door.port, db="shop") as c:
        c.send(parse("p", "select $1::int, pg_sleep(0.01)"), sync())
        c.sock.sendall(b"".join(bind("p", (str(n).encode(),)) + execute() + sync() for n in range(100)))
        for epoch in range(4):
            assert move(door, epoch=epoch)["moved"] == 1
        got = [c.ready() for _ in range(100)]
        assert [columns(body)[0] for answer in got for kind, body in answer if kind == b"D"] == [str(n).encode() for n in range(100)]


def test_copy_keeps_a_session_where_it_is_until_it_ends(pair):
    """With the extended protocol the client's first Sync is ignored by the server that reads data: the count must not be out by one."""
    _, _, door = pair()
    with Raw(door.port, db="shop") as c:
        c.sql("create table t (n int)")
        c.sock.sendall(parse("", "copy t from stdin") + bind("") + execute() + sync())
        assert [c.read()[0] for _ in range(3)] == [b"1", b"2", b"G"]
        held = door.hold(deadline_ms=300)
        assert not held["ok"] and held["why"][0]["what"] == "in the middle of COPY"
        door.wait_phase("serving")
        c.sock.sendall(b"".join(message(b"d", b"%d\n" % n) for n in range(20000)))
        assert c.send(message(b"c"), sync())[0][0] == b"C"
        assert c.sql("select count(*) from t") == [["20000"]]
        assert door.hold()["ok"] and door.release("source", 0)["ok"]
        out = c.send(query("copy t to stdout"))
        assert len([1 for kind, _ in out if kind == b"d"]) == 20000
        assert door.hold()["ok"] and door.release("source", 0)["ok"]


def test_flush_without_sync_is_an_open_transaction(pair):
    _, _, door = pair()
    with Raw(door.port, db="shop") as c:
        c.sock.sendall(parse("", "select 1") + bind("") + execute() + message(b"H"))
        assert [c.read()[0] for _ in range(4)] == [b"1", b"2", b"D", b"C"]
        held = door.hold(deadline_ms=300)
        assert not held["ok"] and held["why"][0]["what"] == "messages without Sync"
        door.wait_phase("serving")
        assert c.send(sync())[0][0] == b"Z"


# ---- another process takes it over -------------------------------------------------------------------------------

def test_a_new_process_takes_the_address_over_and_nobody_is_dropped(pair):
    old, _, door = pair()
    a = door.connect(application_name="stays")
    pid = value(a, "select pg_backend_pid()")
    before = door.process
    door.control.close()
    door.start()   # a second process of the same door
    assert value(a, "select pg_backend_pid()") == pid
    b = door.connect()
    assert value(b, "select 1") == 1
    assert door.status()["clients"] == 1
    left = Control(door.state / "run" / f"shop.door.0.{before.pid}.sock")
    said = left.ask(do="status")
    assert said["draining"] and said["clients"] == 1
    running = Later(a, "select pg_sleep(60)")
    wait_for(lambda: old.one("select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'") == 1, 10, "it to run")
    a.cancel()   # comes to the new process, is meant for the old one
    with pytest.raises(psycopg2.errors.QueryCanceled):
        running.wait()
    a.close()
    before.wait(20)
    assert before.returncode == 0


def test_a_door_that_is_killed_takes_its_clients_with_it_and_no_others(pair):
    old, _, door = pair()
    a = door.connect()
    value(a, "select 1")
    door.close()
    with pytest.raises(psycopg2.Error):
        value(a, "select 1")
    wait_for(lambda: old.one("select count(*) from pg_stat_activity where datname = 'shop' and application_name = ''") == 0, 10, "the server session to end")
    door.start()
    assert value(door.connect(), "select 1") == 1
