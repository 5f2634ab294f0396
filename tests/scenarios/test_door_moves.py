"""What a session that moves must not lose, and what a door must see: settings that functions make, boundaries within messages, large rows, types that change."""
import contextlib
import os
import resource
import signal
import struct
import threading

import pytest

from door import Door, make_authority, switch
from rawpg import Raw, Refused, bind, close, columns, describe, execute, message, parse, query, sync
from test_door import TYPES, column_types, move, pair, value   # noqa: F401  (pair is a fixture)
from wait import wait_for

SETS = "create function set_{0}(text) returns void language plpgsql as $f$ begin perform set_config /* for whom */ ('app.{0}', $1, false); end $f$"


def test_what_a_function_set_moves_with_the_session(pair):   # noqa: F811
    """No text of the session names it. A function that came after the first warm, too, and a session that was asked before and has not worked since."""
    old, new, door = pair(13, 17)
    for server, db in ((old, "shop"), (new, "shop_new")):
        server.sql(SETS.format("tenant"), db=db)
    c, d = door.connect(), door.connect()
    value(c, "select set_tenant('42')")
    value(d, "select 1")
    assert door.warm()["ok"]
    for server, db in ((old, "shop"), (new, "shop_new")):
        server.sql(SETS.format("zone"), db=db)
    value(d, "select set_zone('north')")
    assert move(door)["moved"] == 2
    assert value(c, "select current_database()") == "shop_new"
    here = "select coalesce(current_setting('app.{}', true), 'none')"
    assert [value(x, here.format(what)) for x in (c, d) for what in ("tenant", "zone")] == ["42", "none", "none", "north"]
    assert move(door, epoch=1)["moved"] == 2
    assert [value(x, here.format(what)) for x in (c, d) for what in ("tenant", "zone")] == ["42", "none", "none", "north"]


def test_a_setting_named_in_a_text_larger_than_what_is_looked_at_whole(pair):   # noqa: F811
    _, _, door = pair()
    with Raw(door.port, db="shop") as c:
        for n in range(0, 14, 2):   # a read of the door ends so many bytes behind the x
            c.sql(f"select '{'x' * (65536 - len('Q....select ') - 1 - n)}'; set app.n{n} = 'there'; select '{'y' * 70000}'")
        assert move(door)["moved"] == 1
        assert [c.sql(f"select current_setting('app.n{n}', true)") for n in range(0, 14, 2)] == [[["there"]]] * 7


def test_a_boundary_within_a_message_is_seen_when_that_has_passed(pair):   # noqa: F811
    """COPY has failed, and its client is in the middle of a message that nobody wants any more: held once that has passed, and the next one waits."""
    _, _, door = pair()
    with Raw(door.port, db="shop") as c:
        c.sql("create table t (n int)")
        for half in (1, 2):
            c.sock.sendall(query("copy t from stdin"))
            assert c.read()[0] == b"G"
            large = message(b"d", b"1\n" * 200000)
            held = door.open_control()
            c.sock.sendall(message(b"d", b"no number\n") + large[:100000])
            if half == 2:
                with pytest.raises(Refused):
                    c.ready()
            held.send(do="hold", epoch=0, attempt=door.attempt(), deadline_ms=20000)
            door.wait_phase("holding")
            c.sock.sendall(large[100000:] + message(b"c") + query("select 1"))
            assert held.receive()["ok"]
            held.send(do="release", side="source", epoch=0)
            assert held.receive()["ok"]
            if half == 1:
                with pytest.raises(Refused):
                    c.ready()
            assert [columns(body) for kind, body in c.ready() if kind == b"D"] == [[b"1"]]
            held.close()


def test_copy_sent_in_one_write_leaves_nothing_open(pair):   # noqa: F811
    _, _, door = pair()
    with Raw(door.port, db="shop") as c:
        c.sql("create table t (n int)")
        c.send(parse("", "copy t from stdin"), bind(""), execute(), message(b"d", b"1\n"), message(b"c"), sync())
        assert c.sql("select n from t") == [["1"]]
        c.send(parse("", "copy t from stdin"), bind(""), execute(), message(b"d", b"1\n"), message(b"c"), sync())
        assert move(door)["moved"] == 1


def test_large_messages_of_a_session_that_moved(pair):   # noqa: F811
    """A row in which no number stands passes however large it is; what has to be whole is gathered."""
    old, new, door = pair()
    old.sql(TYPES, db="shop")
    new.sql("create type one as (n int)", db="shop_new")
    new.sql(TYPES, db="shop_new")
    mood = [int(s.one("select 'mood'::regtype::oid", db=db)) for s, db in ((old, "shop"), (new, "shop_new"))]
    assert mood[0] != mood[1]
    with Raw(door.port, db="shop") as c:
        c.sql("select 1")
        assert move(door)["moved"] == 1
        [[text]] = c.rows(query("select repeat('x', 70000000)"))
        assert len(text) == 70000000
        asked = parse("", "select array_fill('sad'::mood, array[$1::int])"), bind("", (b"600000",), (), (1,)), execute(), sync()
        [[moods]] = c.rows(*asked)
        assert len(moods) == 20 + 600000 * 7 and struct.unpack("!I", moods[8:12]) == (mood[0],)
        assert c.rows(parse("", "select length($1::text)"), bind("", (b"y" * 9000000,)), execute(), sync()) == [[b"9000000"]]
        assert c.sql("select 1") == [["1"]]


def test_a_type_made_after_many_warms_moves(pair):   # noqa: F811
    old, new, door = pair()
    with Raw(door.port, db="shop") as c:
        for _ in range(66):
            assert door.warm()["ok"]
        new.sql("create type apart as (n int)", db="shop_new")
        for server, db in ((old, "shop"), (new, "shop_new")):
            server.sql("create type late as enum ('sad')", db=db)
        late = int(old.one("select 'late'::regtype::oid", db="shop"))
        c.send(parse("p", "select $1::late", (late,)), sync())
        assert move(door)["moved"] == 1
        c.sql("select 1")   # parameters that changed come before it
        described = c.send(describe("p"), sync())
        assert column_types(described[1][1]) == [late]
        for n in range(70):   # each time they are others
            old.sql(f"create type more{n} as enum ('sad')", db="shop")
            new.sql(f"create type more{n} as enum ('sad')", db="shop_new")
            assert door.warm(side="source")["ok"]
        assert move(door, epoch=1)["moved"] == 1 and move(door, epoch=2)["moved"] == 1
        more = int(old.one("select 'more69'::regtype::oid", db="shop"))
        c.sql("select 1")
        c.send(parse("more", "select $1::more69", (more,)), sync())
        assert column_types(c.send(describe("more"), sync())[1][1]) == [more]


@pytest.mark.slow
@pytest.mark.skipif("TEST_SLOWER" in os.environ, reason="a sanitizer needs more of a stack")
def test_many_connections_that_fail_at_once_need_no_stack(server, tmp_path):
    """By a socket that is not there any more: each fails as it is begun, and none begins the next one within."""
    old, new = [server(15, name, settings={"max_connections": "500"}) for name in ("old", "new")]
    source = old.createdb("shop")
    new.createdb("shop_new")
    before = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (128 << 10, before[1]))   # of each thread of the door
    try:
        door = Door(tmp_path / "door", source, new.socket_dsn("shop_new"), sides=make_authority(old, new, "shop", "shop_new"), database="shop")
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, before)
    with door:
        clients = [Raw(door.port, db="shop") for _ in range(400)]
        assert door.warm(deadline_ms=60000)["ok"] and door.hold(deadline_ms=60000)["ok"]
        new.stop()
        rebuilt = door.rebuild()
        assert not rebuilt["ok"] and "cannot be reached" in rebuilt["why"][0]["why"], rebuilt["why"][0]
        assert door.release("source", 0)["ok"]
        assert [c.sql("select 1") for c in clients] == [[["1"]]] * 400


@pytest.mark.parametrize("asked_again", [False, True])
def test_a_prepare_of_the_same_name_moves_as_it_is_now(pair, asked_again):   # noqa: F811
    _, _, door = pair()
    c = door.connect()
    value(c, "prepare p as select 'before'")
    assert door.warm()["ok"]
    value(c, "deallocate p")
    value(c, "prepare p as select 'now'")
    if asked_again:
        assert door.warm()["ok"]
    assert move(door)["moved"] == 1
    assert value(c, "execute p") == "now"


def unread(server, backend):
    """Bytes that this backend has not read yet."""
    port = server.one("select client_port from pg_stat_activity where pid = %s", (backend,))
    for line in open("/proc/net/tcp", encoding="ascii").read().splitlines()[1:]:
        here, there, queues = (line.split()[i] for i in (1, 2, 4))
        if int(here.split(":")[1], 16) == server.port and int(there.split(":")[1], 16) == port:
            return int(queues.split(":")[1], 16)
    return 0


def test_a_question_that_is_gone_takes_no_answer_of_the_client(pair):   # noqa: F811
    """DISCARD ALL took the question that the door keeps in the session: while the door finds that out, its client says something."""
    old, _, door = pair()
    with Raw(door.port, db="shop") as c:
        c.sql("create table t (n int)")
        assert door.warm()["ok"]
        c.sql("discard all")
        backend = int(c.sql("select pg_backend_pid()")[0][0])
        os.kill(backend, signal.SIGSTOP)
        try:
            door.control.send(do="warm", side="target", deadline_ms=10000)
            asked = wait_for(lambda: unread(old, backend), 10, "the door to ask")
            c.sock.sendall(query("insert into t values (41) returning n + 1"))
            wait_for(lambda: unread(old, backend) > asked, 10, "the client to be heard")
        finally:
            os.kill(backend, signal.SIGCONT)
        got = c.ready()
        assert [kind for kind, _ in got] == [b"T", b"D", b"C", b"Z"] and columns(got[1][1]) == [b"42"], got
        assert door.control.receive()["ok"]
        assert c.sql("select n from t") == [["41"]]
        assert move(door)["moved"] == 1
        assert c.sql("select current_database()") == [["shop_new"]]


def test_a_new_server_that_ends_a_session_in_its_last_round_ends_no_other(pair):   # noqa: F811
    """Notifications are fetched from the old server; meanwhile the connection that is to be the session's is lost."""
    old, new, door = pair()
    a, b = door.connect(), door.connect()
    value(a, "listen news")
    backend = value(a, "select pg_backend_pid()")
    assert door.warm()["ok"] and door.hold()["ok"] and door.rebuild()["ok"]
    switch(door.sides, "target", 1)
    os.kill(backend, signal.SIGSTOP)
    try:
        door.control.send(do="release", side="target", epoch=1)
        wait_for(lambda: value(b, "select current_database()") == "shop_new", 10, "the other one to move")
        moved = value(b, "select pg_backend_pid()")
        for pid in door.open_control().ask(do="backends", side="target")["pids"]:
            if pid != moved:
                new.sql("select pg_terminate_backend(%s)", (pid,))
        released = door.control.receive()
    finally:
        os.kill(backend, signal.SIGCONT)
    assert released["moved"] == 1 and released["failed"] == 1, released
    assert value(b, "select 1") == 1 and door.process.poll() is None


def test_nobody_is_held_for_a_door_without_clients(pair):   # noqa: F811
    """Nor for a thread of it that has none: what it was ordered counts as done at once, not at the control loop's next look around."""
    _, _, door = pair(limits="limits:\n  door_threads: 4\n")
    for clients in (0, 1):
        with contextlib.ExitStack() as stack:
            for _ in range(clients):
                stack.enter_context(contextlib.closing(door.connect()))
            for _ in range(6):
                assert door.warm()["ok"]
                for done in (door.hold(), door.rebuild(), door.release("source", 0)):
                    assert done["ok"] and done["ms"] < 150, done


def test_a_warm_has_an_end_where_clients_come_and_go(pair):   # noqa: F811
    """Those that came after it had begun are made ready as they come; and whoever is not, when all are held, is rebuilt all the same."""
    _, _, door = pair()
    stopping = threading.Event()

    def come_and_go():
        while not stopping.is_set():
            with contextlib.closing(door.connect()) as c:
                value(c, "set work_mem = '7MB'")
                value(c, "select pg_sleep(0.01)")
    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    stay = [door.connect() for _ in range(10)]
    for t in threads:
        t.start()
    try:
        for n in range(3):
            said = door.warm(side="target" if n % 2 == 0 else "source")
            assert said["ok"] and said["ms"] < 5000, said
            assert move(door, epoch=n)["moved"] >= 10
        for n in range(3, 5):   # without a warm before it: a door that was started between
            hold, rebuild = door.hold(epoch=n), door.rebuild()
            assert hold["ok"] and rebuild["ok"], (hold, rebuild)
            to = "target" if n % 2 == 0 else "source"
            switch(door.sides, to, n + 1)
            assert door.release(to, n + 1)["ok"]
        assert [value(c, "select current_database()") for c in stay] == ["shop_new"] * 10
    finally:
        stopping.set()
        for t in threads:
            t.join()
        for c in stay:
            c.close()


SKIPPED = {   # what the client sends up to its Sync; the second Parse is not carried out, and what is there then
    "skipped": ("kept", (execute("nowhere"), parse("", "select 'skipped'"))),
    "skipped-by-close": ("kept", (execute("nowhere"), close(""))),
    "skipped-query": ("kept", (execute("nowhere"), query("select 1"))),
    "failed": (None, (parse("", "select nonsense"),)),
    "failed-behind-one": (None, (parse("", "select 'first'"), parse("", "select nonsense"))),
    "skipped-behind-one": ("first", (parse("", "select 'first'"), execute("nowhere"), parse("", "select 'skipped'"), parse("", "select 'skipped, too'"))),
    "closed": (None, (close(""),)),
    "not-of-this-encoding": ("kept", (parse("", b"select '\xff'"),)),
    "many": ("39", (*(parse("", f"select '{n}'") for n in range(40)), execute("nowhere"), *(parse("", f"select '{n}'") for n in range(40, 80)))),
}


@pytest.mark.parametrize("which", SKIPPED)
def test_a_parse_that_was_skipped_is_not_the_unnamed_statement(pair, which):   # noqa: F811
    """After an error the server is deaf up to the Sync: what was there before is there still, on either side."""
    _, _, door = pair()
    there, batch = SKIPPED[which]
    with Raw(door.port, db="shop") as c, Raw(door.port, db="shop") as beside:   # beside: nothing is asked of it twice
        for x in (c, beside):
            x.sql("select 1")
            x.send(parse("", "select 'kept'"), sync())
        for epoch in (0, 1):   # there and back
            if there is None:
                with contextlib.suppress(Refused):
                    c.send(*batch, sync())
            else:
                with pytest.raises(Refused):
                    c.send(*batch, sync())
            assert move(door, epoch=epoch)["moved"] == 2
            if there is None:
                with pytest.raises(Refused, match="26000"):
                    c.send(bind(""), execute(), sync())
            else:
                assert c.rows(bind(""), execute(), sync()) == [[there.encode()]]
            assert beside.rows(bind(""), execute(), sync()) == [[b"kept"]]


def test_a_rebuild_without_a_warm_before_it(pair):   # noqa: F811
    """It makes the connections, and knows what functions set, as a warm would have."""
    old, new, door = pair(13, 17)
    for server, db in ((old, "shop"), (new, "shop_new")):
        server.sql(SETS.format("tenant"), db=db)
    c = door.connect()
    value(c, "select set_tenant('42')")
    for epoch, to in ((0, "target"), (1, "source")):
        assert door.hold(epoch=epoch)["ok"]
        rebuilt = door.rebuild()
        assert rebuilt["ok"], rebuilt
        assert door.release(to, epoch + 1)["moved"] == 1
        assert value(c, "select current_setting('app.tenant', true)") == "42"


def call(function, *values):
    """A FunctionCall, of text."""
    return message(b"F", struct.pack("!IHH", function, 0, len(values)) + b"".join(struct.pack("!i", len(v)) + v for v in values) + struct.pack("!H", 0))


def test_a_function_call_is_looked_at(pair):   # noqa: F811
    """By the message, not by SQL: what it may have done to its session nobody sees. Those of large objects are known to do nothing."""
    old, new, door = pair()
    with Raw(door.port, db="shop") as c, Raw(door.port, db="shop") as d:
        made = int(d.send(call(957, b"-1"))[0][1][4:])     # lo_creat
        d.send(call(964, b"%d" % made))                      # lo_unlink
        set_config = int(c.sql("select 'set_config'::regproc::oid")[0][0])
        c.send(call(set_config, b"app.tenant", b"42", b"f"))
        assert c.sql("select current_setting('app.tenant')") == [["42"]]
        assert door.warm()["ok"]
        held = door.hold(deadline_ms=1500)
        assert not held["ok"] and ["FunctionCall" in who["what"] for who in held["why"]] == [True], held
        door.wait_phase("serving")
    with Raw(door.port, db="shop") as c:
        for server, db in ((new, "shop_new"), (old, "shop")):
            server.sql("create function one() returns int language sql as 'select 1'", db=db)
        one, there = (int(server.one("select 'one'::regproc::oid", db=db)) for server, db in ((old, "shop"), (new, "shop_new")))
        assert one != there
        assert move(door, epoch=door.row("source")[0])["moved"] == 1
        made = int(c.send(call(957, b"-1"))[-2][1][4:])
        c.send(call(964, b"%d" % made))
        c.sock.sendall(call(one))   # its number means another function here, or none
        kind, body = c.read()
        assert kind == b"E" and b"C0A000" in body, (kind, body)
