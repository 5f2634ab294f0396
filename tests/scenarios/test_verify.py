"""Both sides compared exactly while writes go on: no false alarm, no difference missed, whatever is killed."""
import random
import threading
import time

import pytest

from follow import Scene
from followed import DATABASE, Followed
from proxy import Proxy
from wait import wait_for


def tables(answer=None, store=None):
    return {t["table"]: t for t in (store or answer["stores"][0])["tables"]}


@pytest.mark.trap("P19")
@pytest.mark.parametrize("source,target", [(13, 17), (10, 15), (15, 18)])
def test_exact_under_load(server, migration, source, target):
    with Scene(server, migration, source, target, seed=31, clients=6) as scene:
        scene.start()
        scene.wait_following()
        for _ in range(2):
            answer = scene.leat.run("verify").json
            assert answer["ok"], answer
            store = answer["stores"][0]
            assert store["clean"] and store["differences"] == 0 and store["self_test"] == {"planted": 10, "found": 10} and store["unverifiable"] == [], store
            assert len(store["tables"]) == len(scene.leat.status("shop")["tables"])
        scene.new.sql("set session_replication_role = replica; update pgbench_accounts set abalance = 77 where aid = 4711;"
                      " delete from pgbench_branches where bid = 2; insert into pgbench_tellers (tid, bid, tbalance) values (100001, 1, 0)", db="shop")
        answer = scene.leat.run("verify", check=2).json
        found = {name: t for name, t in tables(answer).items() if t["differences"]}
        assert set(found) == {"public.pgbench_accounts", "public.pgbench_branches", "public.pgbench_tellers"}, found
        row, = found["public.pgbench_accounts"]["rows"]
        assert row["kind"] == "changed" and row["key"] == {"aid": "4711"}, row
        assert [(c["column"], c["source"], c["target"]) for c in row["columns"]] == [("abalance", "0", "77")], row
        assert [(r["kind"], r["key"]) for r in found["public.pgbench_branches"]["rows"]] == [("missing", {"bid": "2"})]
        assert [(r["kind"], r["key"]) for r in found["public.pgbench_tellers"]["rows"]] == [("extra", {"tid": "100001"})]
        scene.new.sql("set session_replication_role = replica; update pgbench_accounts set abalance = 0 where aid = 4711;"
                      " insert into pgbench_branches (bid, bbalance) values (2, 0); delete from pgbench_tellers where tid = 100001", db="shop")
        assert scene.leat.run("verify").json["ok"]
        scene.finish()


@pytest.mark.parametrize("source,target", [(13, 17)])
def test_killed_while_it_compares(server, migration, source, target):
    """The engine dies at random instants, in the cut too: the comparison goes on, no alarm is false, and nothing is applied twice or lost."""
    with Scene(server, migration, source, target, seed=32, scale=10, clients=6, truncate=0) as scene:
        scene.start()
        scene.wait_following()
        instants = random.Random(source)
        for _ in range(3):
            job = scene.leat.start_run("verify")
            for _ in range(3):
                wait_for(lambda: scene.leat.pids("engine"), 30, "an engine")
                threading.Event().wait(instants.choice((0.1, 0.4, 0.8, 1.6)) * instants.random())   # the instant is the point
                scene.leat.kill9("engine")
            answer = job.wait(60).json
            assert answer["ok"] and answer["stores"][0]["self_test"] == {"planted": 10, "found": 10}, answer
        assert scene.leat.status("shop")["verified"]["clean"] is True
        scene.finish()


def empty(scene, table, rows):
    """Gives how long a TRUNCATE took, in seconds."""
    took = time.monotonic()
    scene.old.sql(f"truncate {table}; insert into {table} (x) select g from generate_series(1, {rows}) g", db="shop")
    return time.monotonic() - took


@pytest.mark.trap("P29")
def test_nobody_waits_for_a_comparison(server, migration):
    """TRUNCATE and ALTER on the source, and what comes of them on the target, go before our locks; what was truncated is compared later."""
    with Scene(server, migration, 15, 17, seed=33, scale=8, awkwardly=False) as scene:
        scene.old.sql("create table emptied (id serial primary key, x int); insert into emptied (x) select 1 from generate_series(1, 50000);"
                      "create unlogged table gone (id int primary key); create materialized view of_then as select count(*) from pgbench_tellers;"
                      "create function one() returns int language sql as 'select 1'; create type mood as enum ('good', 'bad')", db="shop")
        scene.start()
        scene.wait_following()
        job = scene.leat.start_run("verify")
        slowest = 0
        while job.running():
            slowest = max(slowest, empty(scene, "emptied", 1000))
            scene.load.wait_commits(3)
        assert job.wait(10).json["ok"]
        assert slowest < 2, slowest
        scene.finish()
        assert scene.leat.run("verify").json["stores"][0]["not_compared"] == [
            {"object": "public.gone", "why": "unlogged: its writes are not in the stream"}, {"object": "public.of_then", "why": "a materialized view: its rows are of its last REFRESH, on each side its own"}]
        scene.new.sql("create or replace function one() returns int language sql as 'select 2'", db="shop")
        assert [(o["kind"], o["object"]) for o in scene.leat.run("verify", check=2).json["stores"][0]["objects"]] == [("function", "public.one")]
        scene.new.sql("create or replace function one() returns int language sql as 'select 1'", db="shop")
        scene.new.sql("alter table emptied drop column x; alter table pgbench_tellers drop constraint pgbench_tellers_pkey", db="shop")
        store = scene.leat.run("verify", check=2).json["stores"][0]
        assert [u["object"] for u in store["unverifiable"]] == ["public.emptied"] and store["differences"] == 0, store
        assert {(o["kind"], o["object"]) for o in store["objects"]} == {("constraint", "public.pgbench_tellers: pgbench_tellers_pkey"), ("index", "public.pgbench_tellers: pgbench_tellers_pkey")}, store
        scene.new.sql("alter table pgbench_branches rename to elsewhere", db="shop")
        store = scene.leat.run("verify", check=2, timeout=60).json["stores"][0]
        assert [u["object"] for u in store["unverifiable"]] == ["public.emptied", "public.pgbench_branches"] and store["differences"] == 0, store   # and all the others compared
        assert "does not exist" in store["unverifiable"][1]["why"] and len(store["tables"]) == 8, store


LONG = """create table by_number (id int primary key, x text); insert into by_number select g, repeat('x', 90) from generate_series(1, 150000) g;
          create table by_text (a text, b int, x text, primary key (a, b)); insert into by_text select md5((g / 2)::text), g, repeat('x', 60) from generate_series(1, 150000) g;
          create table bare (x text); insert into bare select repeat('x', 400) from generate_series(1, 30000)"""


def test_longer_than_a_snapshot_may_get_old(server, migration):
    """In ranges of the key, each at a cut of its own, while it is written to; what cannot be divided is said, not left out."""
    with Followed(server, migration, 15, 17, LONG) as f, Proxy(f.old.port) as slow:
        f.leat = migration({DATABASE: (slow.dsn(f.dsns[0]), f.dsns[1])})
        f.start()
        f.leat.run("stop")
        f.leat.config.write_text(f.leat.config.read_text() + "limits: {snapshot_age: 1s}\n")
        slow.rate = 6_000_000   # bytes a second of each connection
        f.start()
        f.source("update by_number set id = id + 200000 where id % 10 = 0", "update by_text set x = 'y' where b % 5 = 0")
        f.level()
        f.new.sql("set session_replication_role = replica; update by_number set x = 'z' where id = 75001; delete from by_number where id = 3; insert into by_text values ('e', 1, '')", db=DATABASE)
        store = f.leat.run("verify", check=2).json["stores"][0]
        found = tables(store=store)
        assert {n: (t["rows_source"], t["differences"]) for n, t in found.items() if n != "public.beat"} == {"public.by_number": (150000, 2), "public.by_text": (150000, 1)}, store
        assert all("ranges of its key" in found[n]["remark"] for n in ("public.by_number", "public.by_text")), found
        assert sorted(str(r["key"]) for t in found.values() for r in t.get("rows", [])) == ["{'a': 'e', 'b': '1'}", "{'id': '3'}", "{'id': '75001'}"], found
        assert [(u["object"], "snapshot" in u["why"]) for u in store["unverifiable"]] == [("public.bare", True)], store["unverifiable"]
