"""Drivers as applications use them: the same program (tests/drivers) straight to the server and through the door says the same; and a connection
that stood idle in it while its session was moved goes on, with what it had prepared and listens to.

Each program: SCRAM, simple and extended queries, prepared statements, cursors or portals, a batch or a pipeline, COPY both ways, errors within
transactions, LISTEN and NOTIFY, a statement cancelled; then the line "idle", and after a line from us the rest on the same connection.
"""
import difflib
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from test_door import guarded, move   # noqa: F401  (a fixture)

HERE = pathlib.Path(__file__).resolve().parents[1] / "drivers"
PYTHON = "/usr/bin/python3"
JDBC = "/usr/share/java/postgresql.jar"
GO_PATH = "/usr/share/gocode"
DIRTY = re.compile(r"(?<=PID )\d+")

# What runs each, and what has to succeed for it to be there.
LIGHT = {
    "psql_app.sql": (["stdbuf", "-oL", "psql", "-X", "-f"], ["psql", "--version"]),
    "psycopg2_app.py": ([PYTHON], [PYTHON, "-c", "import psycopg2"]),
    "psycopg3_app.py": ([PYTHON], [PYTHON, "-c", "import psycopg"]),
    "asyncpg_app.py": ([PYTHON], [PYTHON, "-c", "import asyncpg"]),
    "dbd_pg_app.pl": (["perl"], ["perl", "-MDBD::Pg", "-e", "1"]),
}
HEAVY = {
    "ruby_pg_app.rb": (["ruby"], ["ruby", "-e", "require 'pg'"], "ruby, ruby-pg"),
    "php_app.php": (["php"], ["php", "-r", "exit(extension_loaded('pgsql') && extension_loaded('pdo_pgsql') ? 0 : 1);"], "php-cli, php-pgsql"),
    "node_pg_app.js": (["node"], ["node", "-e", "require('pg')"], "nodejs, node-pg"),
    "JdbcApp.java": (["java", "-cp", JDBC], ["sh", "-c", f"test -r {JDBC} && javac -version"], "default-jdk-headless, libpostgresql-jdbc-java"),
    "lib_pq_app.go": (["go", "run"], ["sh", "-c", f"test -d {GO_PATH}/src/github.com/lib/pq && go version"], "golang-go, golang-github-lib-pq-dev"),
}
SCHEMA = "create table app_item (id int primary key, word text); create type app_mood as enum ('sad', 'glad'); grant all on app_item to app"


def is_there(probe):
    return shutil.which(probe[0]) is not None and subprocess.run(probe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def command(name, runs, port, db):
    if name == "psql_app.sql":
        return [*runs, HERE / name, f"host=127.0.0.1 port={port} dbname={db} user=app"]
    return [*runs, HERE / name, "127.0.0.1", str(port), db, "app", "open sesame"]


def transcript(name, runs, port, db, folder, while_idle=None):
    """What it says, line by line; while_idle() is called where it says "idle"."""
    env = {**os.environ, "PGPASSWORD": "open sesame", "GOPATH": GO_PATH, "GO111MODULE": "off", "GOCACHE": str(folder / "go"), "GOFLAGS": ""}
    errors = folder / f"{name}.{port}.err"
    with open(errors, "wb") as err:
        process = subprocess.Popen([str(a) for a in command(name, runs, port, db)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True)
    lines = []
    for line in process.stdout:
        lines.append(DIRTY.sub("N", line.rstrip("\n")))
        if lines[-1] == "idle":
            if while_idle is not None:
                while_idle()
            process.stdin.write("\n")
            process.stdin.flush()
    process.wait(30)
    said = errors.read_text()
    assert process.returncode == 0 and "idle" in lines, f"{name}: {lines}\n{said}"
    return lines + (said.splitlines() if name == "psql_app.sql" else [])   # the others' are words of their libraries


class Sides:
    """Where a door leads, and what is to be on the other side when it leads there."""

    def __init__(self, old, new, door):
        self.at = {"source": (old, "shop"), "target": (new, "shop_new")}
        self.door = door
        new.sql("create type first as enum (); create type second as enum ()", db="shop_new")   # app_mood has another number there
        for server, db in self.at.values():
            server.sql(SCHEMA, db=db)

    def switch(self):
        view = self.door.status()["view"]
        here, there = self.at[view["side"]], self.at["target" if view["side"] == "source" else "source"]
        rows = here[0].sql("select id, word from app_item", db=here[1])
        there[0].sql("truncate app_item; insert into app_item select * from unnest(%s::int[], %s::text[])", ([r[0] for r in rows], [r[1] for r in rows]), db=there[1])
        assert move(self.door, epoch=view["epoch"])["moved"] > 0


def differences(guarded, drivers, folder):   # noqa: F811
    old, new, door = guarded({"app": ("open sesame", "scram-sha-256")})
    sides = Sides(old, new, door)
    found = []
    for name, (runs, *_) in drivers.items():
        straight = transcript(name, runs, old.port, "shop", folder)
        through = transcript(name, runs, door.port, "shop", folder)
        switched = transcript(name, runs, door.port, "shop", folder, sides.switch)
        found += difflib.unified_diff(straight, through, f"{name}, straight", f"{name}, through the door", n=0, lineterm="")
        found += difflib.unified_diff(straight, switched, f"{name}, straight", f"{name}, switched", n=0, lineterm="")
    return "\n".join(found)


def test_the_same_through_the_door_and_across_a_switch(guarded, tmp_path):   # noqa: F811
    missing = [name for name, (_, probe) in LIGHT.items() if not is_there(probe)]
    assert not missing, "tools/setup installs what they need"
    assert differences(guarded, LIGHT, tmp_path) == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", HEAVY)
def test_the_same_with_what_is_too_large_for_every_machine(guarded, tmp_path, name):   # noqa: F811
    _, probe, packages = HEAVY[name]
    if not is_there(probe):
        pytest.skip(f"not there: {packages} (Debian packages)")
    assert differences(guarded, {name: HEAVY[name]}, tmp_path) == ""
