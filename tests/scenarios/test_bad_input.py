"""Bad input: one clear error with what to do, nothing changed on either side, and the corrected run goes on. (What doctor finds in servers
is in test_doctor.py; rights in test_rights.py.)"""
import contextlib
import os
import socket
import struct
import subprocess
import threading
import time

import pytest

from leat import make_config
from wait import wait_for

TRACES = ("select count(*) from pg_class where relnamespace not in (select oid from pg_namespace where nspname like 'pg_%' or nspname = 'information_schema')"
          " union all select count(*) from pg_replication_slots union all select count(*) from pg_publication union all select count(*) from pg_namespace"
          " union all select count(*) from pg_roles")


@pytest.fixture
def pair(server, migration):
    """Two servers that ask for passwords; run(...) fails as it should and leaves both as they were."""
    old, new = server(13, "old", auth="scram"), server(17, "new", auth="scram")
    source, target = old.createdb("shop"), new.createdb("shop")
    old.sql("create table t (id int primary key, x text); insert into t select g, 'x' from generate_series(1, 100) g", db="shop")

    class Pair:
        pass
    p = Pair()
    p.old, p.new, p.source, p.target, p.m = old, new, source, target, migration({"shop": (source, target)})
    return p


def refused(p, config, code, *words, command="run", status=1, within=20):
    """Exactly one error, with that code, and those words; both sides as before; no process left."""
    before = [s.sql(TRACES, db="shop") if s.running() else None for s in (p.old, p.new)]
    p.m.write(config)
    began = time.monotonic()
    for output in ("json", "text"):
        done = p.m.run(command, *(["--yes"] if command in ("run", "start") else []), check=status, output=output)
        if output == "json":
            error = done.json["error"]
            assert error["code"] == code and done.json["ok"] is False, done
            said = " ".join(str(error[k]) for k in ("what", "why", "todo"))
            assert error["what"] and error["why"] and error["todo"], error
        else:
            said = done.err
            lines = [x for x in done.err.splitlines() if x.startswith("leat: ")]
            assert len(lines) == 1 and lines[0].startswith(f"leat: {code}: "), done
        for word in words:
            assert word in said, f"{word!r} is not in {said}"
        assert "secret" not in said, "a password is shown"
    assert time.monotonic() - began < 2 * within
    assert [s.sql(TRACES, db="shop") if s.running() else None for s in (p.old, p.new)] == before
    assert p.m.pids() == []


def goes_on(p):
    p.m.write(make_config({"shop": (p.source, p.target)}))
    p.m.run("run", "--yes", "--until", "replicate")
    assert p.new.one("select count(*) from t", db="shop") == 100


@contextlib.contextmanager
def version_9_6():
    """A stand-in for a server there is none of: it lets everybody in, says that it is 9.6.24, and answers nothing. Its port."""
    def text(kind, body):
        return kind + struct.pack("!i", len(body) + 4) + body

    def serve():
        while True:
            try:
                peer, _ = door.accept()
            except OSError:
                return
            with peer:
                code = 80877103   # a wish for TLS
                while code == 80877103:
                    size, code = struct.unpack("!ii", peer.recv(8, socket.MSG_WAITALL))
                    peer.recv(size - 8, socket.MSG_WAITALL) if size > 8 else peer.sendall(b"N")
                peer.sendall(text(b"R", b"\0\0\0\0") + text(b"S", b"server_version\0" b"9.6.24\0") + text(b"Z", b"I"))
                while peer.recv(4096):
                    pass
    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield door.getsockname()[1]
        finally:
            door.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_the_file(pair):
    good = make_config({"shop": (pair.source, pair.target)})
    refused(pair, good.replace("    target:", "    taget:"), "config", "leat.yaml:6:5", "taget", "did you mean \"target\"?")
    refused(pair, good + "limits:\n  copy_workers: many\n", "config", "leat.yaml:8:17", "many")
    refused(pair, good + "limits:\n  copy_workers: 100000\n", "config", "leat.yaml:8:17", "100000")
    refused(pair, good + "gates: [1, 2]\n", "config", "leat.yaml:7")
    refused(pair, good.replace("postgresql\n", "postgersql\n"), "config", "postgersql")
    refused(pair, good + "  shop:\n    engine: postgresql\n", "config", "leat.yaml:7")
    refused(pair, "migration: x\nstores:\n  a: {engine: postgresql, source: \"\\x00\"}\n", "config")
    refused(pair, "a: [1", "config", "leat.yaml:")
    refused(pair, "", "config")
    refused(pair, good + "limits:\n\tcopy_workers: 4\n", "config", "leat.yaml:8:1", "a tab")
    refused(pair, good + "migration: test\n", "config", "leat.yaml:7:1", "there twice")
    pair.m.config.unlink()
    assert pair.m.run("run", check=1).json["error"]["code"] == "config-missing"
    assert pair.m.run("run", "--ys", check=64).json["error"]["code"] == "usage"
    goes_on(pair)


def test_the_servers(pair):
    p = pair
    made = lambda source, target: make_config({"shop": (source, target)})   # noqa: E731
    refused(p, made(p.source.replace("postgres-secret", "wrong"), p.target), "auth", "source", "password")
    refused(p, made(p.source, p.target.replace("postgres-secret", "wrong")), "auth", "target", "password")
    refused(p, made(p.source.replace("/shop", "/shpo"), p.target), "no-database", "source", "shpo")
    refused(p, made(p.source, p.target.replace("/shop", "/shpo")), "no-database", "target", "shpo")
    refused(p, made(p.source, p.source), "config", "leat.yaml:6", "same database")
    refused(p, made(p.source, p.source.replace("127.0.0.1", "localhost")), "same-server")
    refused(p, made(p.source, f"host={p.old.socket_dir} port={p.old.port} dbname=shop user=postgres"), "same-server")
    refused(p, made(p.target, p.source), "version", "13", "17")
    refused(p, made(p.source.replace("127.0.0.1", "no-such-host.invalid"), p.target), "source-unreachable", "no-such-host.invalid")
    with socket.create_server(("127.0.0.1", 0)) as mute:   # takes connections and says nothing
        port = mute.getsockname()[1]
        refused(p, made(p.source.replace(str(p.old.port), str(port)), p.target), "source-unreachable", within=60)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    refused(p, made(p.source, p.target.replace(str(p.new.port), str(port))), "target-unreachable", "refused", "then run this again")
    with version_9_6() as port:
        refused(p, made(p.source.replace(str(p.old.port), str(port)), p.target), "version", "source: it is PostgreSQL 9.6", "10 to 18")
    goes_on(p)


def test_what_stands_on_either_side(pair):
    p = pair
    good = make_config({"shop": (p.source, p.target)})
    p.new.sql("create table t (id int primary key); insert into t values (1)", db="shop")
    refused(p, good, "target-not-empty", "t")
    refused(p, good, "target-not-empty", "t", command="start")
    assert p.new.one("select count(*) from t", db="shop") == 1
    p.new.sql("drop table t", db="shop")
    p.old.configure(wal_level="replica")
    p.old.restart()
    refused(p, good, "wal-level", "wal_level")
    p.old.configure(wal_level="logical", max_replication_slots="1")
    p.old.restart()
    p.old.sql("select pg_create_physical_replication_slot('taken')")
    refused(p, good, "doctor", "max_replication_slots")
    p.old.sql("select pg_drop_replication_slot('taken')")
    p.m.state.mkdir(exist_ok=True)
    wait_for(lambda: p.m.pids() == [], 10, "nothing to run")
    p.m.run("stop", check=False)
    goes_on(p)


def test_rights_that_are_missing(pair):
    """All are named at once, by whom they are lacking on which side."""
    p = pair
    for s in (p.old, p.new):
        s.sql("create role leat login password 'leat-secret'")
    mine = lambda dsn: dsn.replace("postgres:postgres-secret", "leat:leat-secret")   # noqa: E731
    refused(p, make_config({"shop": (mine(p.source), p.target)}), "doctor", 'ALTER ROLE "leat" REPLICATION', "replication-right", "create-right", "public.t: read-right", "owner-right")
    refused(p, make_config({"shop": (p.source, mine(p.target))}), "doctor", 'GRANT CREATE ON DATABASE "shop" TO "leat"', "shop target: create-right", "session_replication_role")
    goes_on(p)


def test_what_cannot_be_carried(pair):
    p = pair
    good = make_config({"shop": (p.source, p.target)})
    p.old.sql("create extension adminpack", db="shop")
    refused(p, good, "doctor", "PostgreSQL 17 has no extension adminpack", "DROP EXTENSION")
    p.old.sql("drop extension adminpack; create function f() returns trigger language plpgsql as 'begin return new; end';"
              " create trigger tr before insert on t for each row execute function f(); alter table t enable always trigger tr", db="shop")
    refused(p, good, "doctor", "trigger-always", "public.t")
    p.old.sql("drop trigger tr on t", db="shop")
    refused(p, good.replace("    engine:", "    include: [\"nothing.*\"]\n    engine:"), "doctor", "no table of database shop is chosen")
    goes_on(p)


@pytest.mark.trap("P20")
def test_another_database_after_the_beginning(pair):
    """Of the same server, so that its number says nothing. Seen to fail: leat called an empty database copied and followed."""
    p = pair
    good = make_config({"shop": (p.source, p.target)})
    goes_on(p)
    other, same = p.new.createdb("other"), p.old.createdb("other")
    p.old.sql("create table t (id int primary key, x text)", db="other")
    at = "select confirmed_flush_lsn from pg_replication_slots"
    before = p.old.sql(at)
    refused(p, make_config({"shop": (p.source, other)}), "server-changed", "database", "of the target")
    refused(p, make_config({"shop": (same, p.target)}), "server-changed", "database", "of the source")
    assert p.old.sql(at) == before and p.new.sql("select nspname from pg_namespace where nspname = 'leat'", db="other") == []
    p.old.sql("insert into t values (101, 'late')", db="shop")
    p.old.sql("delete from t where id = 1", db="shop")
    goes_on(p)
    p.new.sql("drop database shop with (force)")
    p.new.createdb("shop")
    refused(p, good, "server-changed", "database", "of the target")


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted by root only")
def test_a_disk_that_is_full(pair, tmp_path):
    """Wherever the space runs out, the engine's own word included, the state folder is named; with space the run goes on."""
    p = pair
    disk = tmp_path / "disk"
    disk.mkdir()
    p.m.write(make_config({"shop": (p.source, p.target)}))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20k", "tmpfs", str(disk)], check=True)
    try:
        p.m.state = disk / "state"
        said = []
        for size in range(20, 1000, 28):
            subprocess.run(["mount", "-o", f"remount,size={size}k", str(disk)], check=True)
            done = p.m.run("run", "--yes", "--until", "replicate", check=False)
            if done.status == 0:
                break
            error = done.json["error"]
            said.append(error["why"])
            assert error["code"] == "state" or (error["code"] == "pg-dump" and "No space left" in error["why"]), done
            assert "space" in error["why"] + error["todo"], done
            assert done.status == 1 and p.m.pids() == []
        assert len(said) > 3 and any("could not write down" in x for x in said), said
        goes_on(p)
    finally:
        p.m.close()
        subprocess.run(["umount", str(disk)], check=True)


def test_a_state_folder_that_cannot_be_used(pair):
    p = pair
    good = make_config({"shop": (p.source, p.target)})
    p.m.state.write_text("a file")
    refused(p, good, "state")
    assert p.m.state.read_text() == "a file"
    p.m.state.unlink()
    goes_on(p)
