"""Who comes to a door and is no session, or a bad one: scanners, storms, malformed and enormous messages, slow ends. Others go on all the same."""
import contextlib
import os
import pathlib
import socket
import struct
import time

import psycopg2
import pytest

import leat
from rawpg import Raw, query, startup_packet
from test_door import move, pair, value   # noqa: F401  (pair is a fixture)
from wait import wait_for


def memory_kb(door):
    return int(pathlib.Path(f"/proc/{door.process.pid}/status").read_text().split("VmRSS:")[1].split()[0])


@pytest.mark.parametrize("says", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"\0\0\0\x08\x04\xd2\x16\x2f" + b"x", b"\0\0\0\x04", b"\xff" * 100,
                                  b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x01", b""])
def test_what_is_no_session_hurts_nobody(pair, says):   # noqa: F811
    _, _, door = pair()
    other = door.connect()
    with door.raw() as s:
        s.sendall(says)
        s.shutdown(socket.SHUT_WR)
        while s.recv(1000):
            pass
    assert value(other, "select 1") == 1


def test_malformed_messages_end_that_session_only(pair):   # noqa: F811
    _, _, door = pair()
    other = door.connect()
    with Raw(door.port, db="shop") as c:
        c.sock.sendall(b"~\0\0\0\x04")
        kind, body = c.read()
        assert kind == b"E" and b"08P01" in body
        with pytest.raises(ConnectionError):
            c.read()
    assert value(other, "select 1") == 1
    wait_for(lambda: door.status()["clients"] == 1, 10, "it to be gone")


def test_a_slow_reader_is_waited_for_in_little_memory(pair):   # noqa: F811
    _, _, door = pair()
    other = door.connect()
    with Raw(door.port, db="shop") as c:
        c.sock.sendall(query("select repeat('x', 1000000) from generate_series(1, 200)"))
        assert value(other, "select 1") == 1
        memory = memory_kb(door)
        assert memory < 60000, f"{memory} kB"
        assert len([1 for kind, _ in c.ready() if kind == b"D"]) == 200


def works(connection, seconds=5):
    """The longest that one of many statements took."""
    longest, end = 0.0, time.monotonic() + seconds
    for n in range(200):
        began = time.monotonic()
        assert value(connection, "select %s", (n,)) == n
        longest = max(longest, time.monotonic() - began)
        if time.monotonic() > end:
            break
    return longest


def test_a_storm_of_connections_hurts_nobody(pair):   # noqa: F811
    """Scanners that only connect, some that hang up at once, some that say half a packet and stay: who works goes on, and who comes comes in."""
    _, _, door = pair()
    other = door.connect()
    half = startup_packet(user="postgres", database="shop")[:20]
    stay = []
    try:
        for n in range(600):
            s = door.raw()
            if n % 3 == 0:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.close()
                continue
            if n % 3 == 1:
                s.sendall(half)
            stay.append(s)
        assert works(other) < 2
        assert value(door.connect(), "select 1") == 1
        assert door.hold()["held"] >= 1   # those who are not let in are not waited for
        assert door.release("source", 0)["ok"]
        memory = memory_kb(door)
        assert memory < 60000, f"{memory} kB"
    finally:
        for s in stay:
            s.close()
    wait_for(lambda: door.status()["clients"] <= 2, 20, "them to be gone")
    assert value(other, "select 1") == 1


def test_more_clients_than_it_takes_are_told_so(pair):   # noqa: F811
    _, _, door = pair(limits="limits:\n  door_clients: 20\n")
    inside = [door.connect() for _ in range(20)]
    with pytest.raises(psycopg2.OperationalError) as e:
        door.connect()
    assert "limits.door_clients" in str(e.value)
    assert value(inside[0], "select 1") == 1
    inside.pop().close()
    assert value(wait_for(lambda: try_to_connect(door), 10, "there to be room again"), "select 1") == 1


def try_to_connect(door):
    try:
        return door.connect()
    except psycopg2.OperationalError:
        return None


def test_a_client_that_takes_its_time_comes_in(pair):   # noqa: F811
    """Its first packet and its first statement, byte for byte, while another works."""
    _, _, door = pair()
    other = door.connect()
    with door.raw() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in startup_packet(user="postgres", database="shop"):
            s.sendall(bytes([byte]))
            assert value(other, "select 1") == 1
        read_until_ready(s)
        for byte in query("select 'slowly'"):
            s.sendall(bytes([byte]))
            assert value(other, "select 1") == 1
        assert b"slowly" in read_until_ready(s)


def read_until_ready(s):
    got = b""
    while not got.endswith(b"Z\0\0\0\5I"):
        part = s.recv(65536)
        assert part, got
        got += part
    return got


def test_a_message_said_to_be_enormous_costs_no_memory(pair):   # noqa: F811
    """The length of a gigabyte, a little of it, and silence: that session waits, others do not."""
    _, _, door = pair()
    other = door.connect()
    for kind in (b"Q", b"P", b"d", b"C"):
        with Raw(door.port, db="shop", application_name="enormous") as c:
            c.sock.sendall(kind + struct.pack("!I", 0x3ffffff0) + b"x" * 100000)
            assert works(other, 1) < 2
            memory = memory_kb(door)
            assert memory < 60000, f"{memory} kB"
    wait_for(lambda: door.status()["clients"] == 1, 10, "them to be gone")
    assert value(other, "select 1") == 1


def test_no_more_clients_than_there_are_files_for(pair):   # noqa: F811
    """Told at the start, and to whoever is one too many; those who are in can be moved."""
    _, _, door = pair()
    door.close()
    no_root = ["setpriv", "--bounding-set", "-sys_resource", "--inh-caps", "-sys_resource"] if os.geteuid() == 0 else []   # it could raise the limit
    script = door.folder / "few-files"
    script.write_text(f"#!/bin/sh\nulimit -Sn 230 && ulimit -Hn 230 && exec {leat.BINARY} \"$@\"\n")
    script.chmod(0o755)
    door.binary = [*no_root, script]
    door.start()
    log = door.log.read_text()
    assert "may open 230 files" in log and "enough for 10 clients" in log, log
    with contextlib.ExitStack() as stack:
        first = [stack.enter_context(contextlib.closing(door.connect())) for _ in range(10)]
        with pytest.raises(psycopg2.OperationalError, match="the files it may open"):
            door.connect()
        wait_for(lambda: door.status()["clients"] == 10, 10, "the one too many to be gone")
        assert move(door)["moved"] == 10
        assert [value(c, "select 1") for c in first] == [1] * 10
