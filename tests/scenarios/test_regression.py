"""PostgreSQL's own regression tests through the door: psql says what it says straight to a server, file for file.

They are not in Debian's binary packages: `apt-get source postgresql-15` (it needs a deb-src line) brings them, and LEAT_PG_REGRESS names the
folder src/test/regress of it. Two servers made alike; the files run in the order of the schedule, one at a time, into one database each, first
straight to the one, then through a door to the other. What they create is compared by what later files see of it. Their expected output is not
looked at: a library of theirs (regress.so) is not there, which both servers say.
"""
import difflib
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import servers
from door import Door

REGRESS = os.environ.get("LEAT_PG_REGRESS")
# What differs between two runs straight to one server, too: numbers of processes, times it took, addresses of files and servers.
DIRTY = ((re.compile(r"(?<=PID )\d+"), "N"), (re.compile(r"\b\d+\.\d{3} ms\b"), "N ms"), (re.compile(r"(?<=port )\"?\d+\"?"), "N"))


def schedule(folder):
    """The names in their order."""
    lines = (pathlib.Path(folder) / "parallel_schedule").read_text().splitlines()
    return [name for line in lines if line.startswith("test:") for name in line[5:].split()]


def make_folder(regress):
    """Where servers read and write: data/, sql/, results/. The same for both, for its name comes up in what they say."""
    folder = servers.base_dir() / "regress"
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("data", "sql"):
        shutil.copytree(pathlib.Path(regress) / name, folder / name)
    (folder / "results").mkdir()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o644)
    return folder


def run_all(regress, port):
    """name → what psql said."""
    folder = make_folder(regress)
    env = {**os.environ, "PGTZ": "PST8PDT", "PGDATESTYLE": "Postgres, MDY", "LC_MESSAGES": "C", "PG_ABS_SRCDIR": str(folder), "PG_ABS_BUILDDIR": str(folder),
           "PG_LIBDIR": str(servers.bin_dir(15).parent / "lib"), "PG_DLSUFFIX": ".so", "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres", "PGDATABASE": "regression"}
    said = {}
    for name in schedule(regress):
        with open(folder / "sql" / f"{name}.sql", encoding="utf-8") as script:
            done = subprocess.run(["psql", "-X", "-a", "-q", "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"], env=env, cwd=folder, stdin=script,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=300)
        said[name] = clean(done.stdout.decode(errors="replace"))
    return said


def clean(text):
    for pattern, word in DIRTY:
        text = pattern.sub(word, text)
    return text


def make_server(server, name):
    made = server(15, name, {"max_prepared_transactions": 2, "wal_level": "logical"}, locale="C")
    made.sql("create database regression template template0")
    for setting in ("lc_messages to 'C'", "lc_monetary to 'C'", "lc_numeric to 'C'", "lc_time to 'C'", "bytea_output to 'hex'", "timezone_abbreviations to 'Default'"):
        made.sql(f"alter database regression set {setting}")
    made.createdb("elsewhere")
    return made


@pytest.mark.slow
@pytest.mark.limit(2400)
@pytest.mark.skipif(not REGRESS, reason="LEAT_PG_REGRESS names no folder src/test/regress: apt-get source postgresql-15 brings one")
def test_regression_tests_say_the_same_through_the_door(server, tmp_path):
    one, other = make_server(server, "straight"), make_server(server, "behind")
    straight = run_all(REGRESS, one.port)
    with Door(tmp_path / "door", other.dsn("regression"), other.dsn("elsewhere")) as door:
        through = run_all(REGRESS, door.port)
    found = []
    for name in straight:
        found += difflib.unified_diff(straight[name].splitlines(), through[name].splitlines(), f"{name}, straight", f"{name}, through the door", n=1, lineterm="")
    (tmp_path / "differences").write_text("\n".join(found))
    print(f"{len(straight)} files, {sum(len(text.splitlines()) for text in straight.values())} lines, {len(found)} lines of difference")
    assert not found, "\n".join(found[:400])
