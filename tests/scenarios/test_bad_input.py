"""Bad input: one clear error with what to do, nothing changed on either side, and the corrected run goes on. (What doctor finds in servers
is in test_doctor.py; rights in test_rights.py.)"""
import socket
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
    refused(p, made(p.source, p.target.replace(str(p.new.port), str(port))), "target-unreachable", "refused")
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


def test_a_state_folder_that_cannot_be_used(pair):
    p = pair
    good = make_config({"shop": (p.source, p.target)})
    p.m.state.write_text("a file")
    refused(p, good, "state")
    assert p.m.state.read_text() == "a file"
    p.m.state.unlink()
    goes_on(p)
