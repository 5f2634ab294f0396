"""The commands as a person or a script uses them: what they print, what they refuse, what they leave behind."""
import json
import os
import pathlib
import stat
import subprocess

import pytest

from leat import BINARY
from wait import alive, wait_for

SHOP = "create table t (a int primary key, b text); insert into t select i, 'x' from generate_series(1, 2000) i; create table log (line text)"


@pytest.fixture
def shop(server, migration):
    """A small database and an empty one, and the migration between them."""
    old, new = server(15, "old"), server(17, "new")
    m = migration({"shop": (old.createdb("shop"), new.createdb("shop"))})
    old.sql(SHOP, db="shop")
    m.old, m.new = old, new
    return m


def leat(*args, cwd=None, env=None):
    return subprocess.run([str(BINARY), *args], cwd=cwd, env={**os.environ, **(env or {})}, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=30, check=False)


def traces(server):
    """What of leat is on a server."""
    return server.sql("select slot_name from pg_replication_slots union all select pubname from pg_publication "
                      "union all select nspname from pg_namespace where nspname = 'leat'", db="shop")


# -- without a server --

def test_wrong_usage_is_64_and_says_what_was_meant():
    for args, words in ((["statsu"], "did you mean status?"), (["run", "--untl", "x"], "did you mean --until?"), (["status", "--yes"], "takes no --yes"),
                        (["run", "--until", "nonsense"], "config-missing")):
        done = leat(*args, cwd="/")
        assert done.returncode in (64, 1) and words in done.stderr, done.stderr
    assert leat("assess", cwd="/").returncode == 64
    answer = json.loads(leat("statsu", "--output", "json", cwd="/").stdout)
    assert answer["error"]["code"] == "usage" and answer["ok"] is False


def test_help_says_what_is_here_and_what_comes():
    assert "leat doctor" in leat().stdout
    text = leat("help").stdout
    now, later = text.split("in later releases")
    assert "\n  run " in now and "\n  cutover " in now and "\n  shift " in now and "\n  assess " in later and "\n  engine " not in text
    assert leat("help", "status").stdout.startswith("usage: leat status [--watch]")
    assert leat("status", "--help").stdout == leat("help", "status").stdout


def test_man_page_and_completions_are_what_their_readers_take():
    man = subprocess.run(["man", "-l", "--warnings", "-"], input=leat("help", "--man").stdout, text=True, capture_output=True, check=False,
                         env={**os.environ, "MAN_KEEP_STDERR": "1", "MANPAGER": "cat"}) if pathlib.Path("/usr/bin/man").exists() else None
    assert man is None or (man.stderr == "" and "--until" in man.stdout.replace("\u2010", "-"))
    script = leat("completion", "bash").stdout + "\nCOMP_WORDS=(leat run --); COMP_CWORD=2; _leat; echo \"${COMPREPLY[@]}\""
    done = subprocess.run(["bash", "-c", script], text=True, capture_output=True, check=True)
    assert "--until" in done.stdout.split() and "--watch" not in done.stdout.split() and done.stderr == ""
    for shell in ("zsh", "fish"):
        if pathlib.Path(f"/usr/bin/{shell}").exists():
            subprocess.run([shell, "-n", "/dev/stdin"], input=leat("completion", shell).stdout, text=True, check=True)


def test_init_writes_no_password_and_overwrites_nothing(tmp_path):
    folder = tmp_path / "Shop 2026"
    folder.mkdir()
    done = leat("init", "--from", "postgresql://me:secret@old/shop", "--to", "host=new dbname=shop password=hidden", cwd=folder)
    file = folder / "leat.yaml"
    text = file.read_text()
    assert done.returncode == 0 and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "secret" not in text + done.stdout and "hidden" not in text + done.stdout
    assert "${LEAT_SOURCE_PASSWORD}" in text and "${LEAT_TARGET_PASSWORD}" in text and "migration: shop2026" in text
    again = leat("init", cwd=folder)
    assert again.returncode == 1 and "never overwritten" in again.stderr and file.read_text() == text
    # what it wrote is valid: the next complaint is about the servers, not about the file
    asked = leat("status", cwd=folder, env={"LEAT_SOURCE_PASSWORD": "a", "LEAT_TARGET_PASSWORD": "b"})
    assert asked.returncode == 0, asked.stderr


def test_explain_knows_every_kind_of_name():
    for name, kind in (("slot-lost", "error"), ("wal-level", "error"), ("arm", "step"), ("copy.table.copied", "event"), ("trigger-always", "finding")):
        done = leat("explain", name)
        assert done.returncode == 0 and kind in done.stdout, done
    assert leat("explain", "nothing-of-that-name").returncode == 64
    assert "slot-lost" in leat("explain").stdout


def test_without_a_file_it_says_so(tmp_path):
    done = leat("status", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("leat: config-missing") and "leat init" in done.stderr


# -- with servers --

def test_plan_tells_and_touches_nothing(shop):
    plan = shop.run("plan").json
    store = plan["stores"][0]
    assert store["seen"] and store["tables"] == 2 and store["without_key"] == ["public.log (FULL)"] and store["bytes"] > 0
    changing = [s["step"] for s in plan["steps"] if s["changes_source"]]
    assert changing == ["identity", "arm"] and all(s["undo"] and s["effect"] for s in plan["steps"])
    assert not shop.state.exists() and traces(shop.old) == []
    assert shop.run("plan").json["digest"] == plan["digest"] and len(plan["digest"]) == 64
    shop.old.sql("alter table log add primary key (line)", db="shop")
    other = shop.run("plan").json
    assert other["digest"] != plan["digest"] and [s["step"] for s in other["steps"] if s["changes_source"]] == ["arm"]


def test_without_consent_nothing_is_changed(shop):
    for command in ("run", "start"):
        refused = shop.run(command, check=3)
        assert refused.json["error"]["code"] == "consent" and "public.log" in refused.json["error"]["why"]
    assert traces(shop.old) == [] and traces(shop.new) == [] and shop.pids() == []


def test_a_blocker_stops_before_anything_is_changed(shop):
    shop.new.sql("create table t (a int)", db="shop")
    refused = shop.run("run", "--yes", check=1)
    assert refused.json["error"]["code"] == "target-not-empty", refused
    assert traces(shop.old) == [] and shop.pids() == []


def test_status_before_during_and_after(shop):
    before = shop.status()
    assert before["phase"] == "assess" and before["running"] is False and before["next_steps"][0] == "leat doctor"
    assert before["stores"][0]["copy"]["tables_total"] == 0 and before["stores"][0]["authority"] == "source"
    started = shop.run("start", "--yes").json
    assert alive(started["pid"])
    during = shop.wait_status(lambda s: s["stores"][0]["following"] and all(g["ok"] for g in s["gates"] if g["name"] != "verify"), 60)
    assert during["phase"] == "replicate" and during["pilot"] == started["pid"]
    assert [g["why"] for g in during["gates"] if not g["ok"]] == ["never compared: `leat verify`"], during["gates"]
    assert during["next_steps"] == ["leat verify", "leat status --watch"]
    shop.run("verify")
    shop.wait_status(lambda s: all(g["ok"] for g in s["gates"]), 30, "the last gate")
    assert {"tables_done", "tables_total", "bytes_done", "bytes_total"} <= during["stores"][0]["copy"].keys()
    text = shop.run("status", output="text").out
    assert "shop  following" in text and "2 of 2 tables" in text and "next: leat status --watch" in text
    assert shop.run("start", "--yes", check=4).json["error"]["code"] == "lease-held"
    assert shop.run("stop").json["stopped"] is True and shop.pids("pilot") == [] and shop.pids("engine") == []
    after = shop.status()
    assert after["running"] is False and after["next_steps"] == ["leat start"] and after["stores"][0]["copy"]["tables_done"] == 2
    assert "not running; last seen" in shop.run("status", output="text").out
    assert shop.run("stop").json["stopped"] is False


def test_run_shows_what_the_pilot_in_the_background_does(shop):
    shop.run("start", "--yes")
    pilot = shop.pids("pilot")
    answer = shop.run("run", "--until", "replicate").json
    assert answer["ok"] and answer["phase"] == "replicate" and shop.pids("pilot") == pilot
    assert shop.run("resume").json["pid"] == pilot[0]


def test_run_streams_events_and_ends_with_the_answer(shop):
    done = shop.run("run", "--yes")
    *events, answer = done.events
    assert answer["command"] == "run" and answer["ok"] and answer["next_steps"] == ["leat start"]
    assert events and all(e["event"] in ("progress", "pilot") and e["at_us"] > 0 for e in events)
    assert [e for e in events if e.get("store") == "shop" and e["phase"]]


def test_piped_run_prints_plain_lines(shop):
    done = shop.run("run", "--yes", output="text")
    assert done.out == "" and "\033" not in done.err
    lines = done.err.splitlines()
    assert lines[0].startswith("shop: ") and lines[-2].startswith("replicate: reached in ") and lines[-1].startswith("next: leat start")


def test_pilot_killed_leaves_no_engine_and_start_goes_on(shop):
    shop.run("start", "--yes")
    shop.wait_status(lambda s: s["stores"][0]["following"], 60)
    shop.kill9("pilot")
    wait_for(lambda: shop.pids("engine") == [], 30, "the engine to follow its pilot")
    assert shop.status()["running"] is False
    shop.run("start")
    shop.old.sql("insert into t values (-1, 'later')", db="shop")
    wait_for(lambda: shop.new.one("select count(*) from t where a = -1", db="shop") == 1, 60, "the later row", show=shop.logs)
    shop.run("stop")


def test_a_killed_engine_is_started_again(shop):
    shop.run("start", "--yes")
    shop.wait_status(lambda s: s["stores"][0]["following"], 60)
    assert shop.kill9("engine") == 1
    shop.old.sql("insert into t values (-2, 'later')", db="shop")
    wait_for(lambda: shop.new.one("select count(*) from t where a = -2", db="shop") == 1, 60, "the later row", show=shop.logs)
    assert "signal 9" in (shop.state / "log" / "pilot.log").read_text()


def test_events_are_readable_and_their_chain_holds(shop):
    shop.run("run", "--yes")
    kinds = [e["kind"] for e in shop.run("events").events[:-1]]
    assert kinds[0] == "journal.opened" and "stream.armed" in kinds and "stream.following" in kinds
    assert shop.run("events", "--verify").json["events"] >= len(kinds)
    shop.run("events", "--verify", output="text")


def test_the_terminal_view_is_drawn_in_place(shop):
    """Under script(1), which gives it a terminal: pictures over each other, none wider than it."""
    command = " ".join(shop.command("run", "--yes", output="text"))
    done = subprocess.run(["script", "-qec", f"stty cols 80 rows 24; {command}", "/dev/null"], env={**shop.env, "TERM": "xterm"}, cwd=shop.folder, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\033[K" in done.stdout and "A" in done.stdout.split("\033[")[2] + done.stdout and "elapsed" in done.stdout and "\033[1m" not in done.stdout
    pictures = [line for line in done.stdout.replace("\r", "").split("\n") if "\033[K" in line]
    assert pictures and all(len(line.split("\033[K")[0].split("A")[-1]) < 80 for line in pictures if not line.startswith("\033["))
