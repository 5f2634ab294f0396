"""What the comparison found is mended: as planned, row by row, under load; what has changed since the plan is left."""
import json
import random
import threading

import psycopg2
import pytest

from follow import Scene
from wait import wait_for

REPLICA = "set session_replication_role = replica;"
KEPT = """create table kept (id int primary key, a text, b float8, c numeric, d jsonb, e timestamptz, g bytea, h text[], i int generated always as identity);
    insert into kept select g, 'a' || g, g / 3.0, g / 7.0, jsonb_build_object('n', g), '2020-02-02 10:00:00+03'::timestamptz + g * interval '1 hour', decode(md5(g::text), 'hex'),
    array['x', null, E'\\\\', '"'] from generate_series(1, 40) g;
    create table bag (a text, b json, p point, n float8);
    insert into bag select 'twice', '{"a": 1}', '(1,2)', 0 from generate_series(1, 3); insert into bag values (null, null, null, null), ('zero', '1', '(0,0)', '-0')"""


def plan_of(scene, check=True):
    answer = scene.leat.run("repair", check=check).json
    return answer["stores"][0]["plan"] if answer["stores"] else None


def apply(scene, check=True):
    return scene.leat.run("repair", "--apply", check=check).json["stores"][0]


def damage_everything(server):
    """Of every table: a row lost, a row of NULLs where they are allowed; of those without a key, too. Gives the tables damaged."""
    damaged = set()
    for schema, name in server.sql("select schemaname, tablename from pg_tables where schemaname = 'Awk ward'", db="shop"):
        table = f'"{schema}"."{name}"'
        columns = server.sql("select quote_ident(column_name) from information_schema.columns where table_schema = %s and table_name = %s and is_nullable = 'YES'"
                             " and is_generated = 'NEVER' and is_identity = 'NO'", (schema, name), db="shop")
        for what in (f"delete from only {table} where ctid = (select min(ctid) from only {table})",
                     f"update only {table} set {', '.join(f'{c} = null' for c, in columns[-3:])} where ctid = (select max(ctid) from only {table})"):
            try:
                server.sql(f"{REPLICA} {what}", db="shop")
                damaged.add(f"{schema}.{name}")
            except psycopg2.Error:
                pass   # a check refuses it, or it has no such columns
    return damaged


@pytest.mark.parametrize("source,target", [(13, 17), (10, 15)])
def test_mended_under_load(server, migration, source, target):
    with Scene(server, migration, source, target, seed=41) as scene:
        scene.old.sql(KEPT, db="shop")
        scene.start()
        scene.wait_following()
        assert scene.leat.run("repair", check=1).json["error"]["code"] == "repair-plan"
        scene.quiet_awkward()
        assert scene.leat.run("verify").json["ok"]
        assert plan_of(scene) is None
        damaged = damage_everything(scene.new)
        assert len(damaged) > 10
        scene.new.sql(REPLICA + "update kept set b = b + 1e-9, h = '{}', i = default where id = 3; update kept set id = 1000 where id = 4; delete from kept where id = 5;"
                      "delete from bag where ctid in (select ctid from bag where a = 'twice' limit 2); insert into bag values ('zero', '1', '(0,0)', '0'), ('new', '[]', null, 1)", db="shop")
        store = scene.leat.run("verify", check=2).json["stores"][0]
        found = {t["table"] for t in store["tables"] if t["differences"]}
        assert {"public.kept", "public.bag"} <= found and store["unverifiable"] == [], store["unverifiable"]
        plan = plan_of(scene)
        assert {t["table"] for t in plan["tables"]} == found and plan["refused"] == [], plan["refused"]
        assert scene.leat.run("verify", check=2).json["stores"][0]["clean"] is False   # nothing was changed
        kinds = {t["table"]: sorted(m["kind"] for m in t["mends"]) for t in plan["tables"]}
        assert kinds["public.kept"] == ["changed", "extra", "missing", "missing"], kinds
        assert sum(m["count"] for t in plan["tables"] if t["table"] == "public.bag" for m in t["mends"]) == 4, kinds
        store = apply(scene)
        assert store["clean"] and all(t["left"] == 0 for t in store["mended"]), store
        assert scene.leat.run("verify").json["ok"] and scene.leat.status("shop")["verified"]["clean"] is True
        scene.finish()


def test_what_changed_since_is_left(server, migration):
    """Compare-and-set on both sides: a plan never overwrites what it did not see. One that is broken changes nothing."""
    with Scene(server, migration, 15, 17, seed=42, awkwardly=False) as scene:
        scene.old.sql(KEPT, db="shop")
        scene.start()
        scene.wait_following()
        scene.new.sql(REPLICA + "update kept set a = 'bad' where id in (1, 2, 3); delete from kept where id in (4, 5); insert into bag select * from bag where a = 'twice'", db="shop")
        scene.leat.run("verify", check=2)
        assert len(plan_of(scene)["tables"]) == 2
        scene.old.sql("update kept set c = 0 where id = 1; delete from kept where id = 4; insert into bag select * from bag where a = 'twice' limit 1", db="shop")
        scene.new.sql(REPLICA + "update kept set a = 'worse' where id = 2", db="shop")
        wait_for(lambda: scene.new.one("select c from kept where id = 1", db="shop") == 0, 30, "the changes to come")
        store = apply(scene, check=2)
        mended = {t["table"]: t for t in store["mended"]}
        assert mended["public.kept"]["mended"] == 2 and mended["public.kept"]["left"] == 3, mended
        assert mended["public.bag"]["mended"] == 1, mended   # still three too many, and the same row
        assert sorted(r["why"].split(" the row")[0] for r in mended["public.kept"]["rows"]) == ["on the source", "on the source", "on the target"], mended
        assert scene.new.sql("select id from kept where id = 4", db="shop") == [] and scene.new.one("select a from kept where id = 2", db="shop") == "worse"
        path = scene.leat.state / "repair" / "shop.json"
        plan = json.loads(path.read_text())
        plan["tables"][0]["columns"].reverse()
        path.write_text(json.dumps(plan))
        assert "make a new one" in apply(scene, check=2)["mended"][0]["why"]
        path.write_text("{")
        assert "repair-plan" not in json.dumps(scene.leat.status())   # the engine goes on
        assert len(plan_of(scene)["tables"]) == 1
        assert apply(scene)["clean"]
        assert scene.leat.run("verify").json["ok"]
        scene.finish()


def test_killed_while_it_mends(server, migration):
    """The engine dies at random instants: the plan is carried out all the same, and nothing is written twice."""
    with Scene(server, migration, 13, 17, seed=43, clients=4, truncate=0) as scene:
        scene.old.sql("create table many (id int primary key, a text); insert into many select g, repeat(g::text, 20) from generate_series(1, 3000) g;"
                      "create table heap (a int); insert into heap select g % 100 from generate_series(1, 1000) g", db="shop")
        scene.start()
        scene.wait_following()
        scene.new.sql(REPLICA + "update many set a = 'x' where id <= 600; delete from many where id > 2700; delete from heap where a < 40", db="shop")
        scene.leat.run("verify", check=2)
        plan = plan_of(scene)
        assert plan["refused"] == [] and sum(m["count"] for t in plan["tables"] for m in t["mends"]) == 1300
        job, instants = scene.leat.start_run("repair", "--apply"), random.Random(43)
        for _ in range(4):
            wait_for(lambda: scene.leat.pids("engine"), 30, "an engine")
            threading.Event().wait(instants.choice((0.1, 0.4, 0.8, 1.6)) * instants.random())   # the instant is the point
            scene.leat.kill9("engine")
        job.wait(60, check=False)
        assert scene.leat.run("verify").json["ok"]
        scene.new.sql(REPLICA + "update many set a = 'x'", db="shop")
        scene.leat.run("verify", check=2)
        refused, = plan_of(scene, check=2)["refused"]
        assert refused["table"] == "public.many" and "--recopy" in refused["why"]
        scene.leat.run("repair", "--recopy", "many", "--yes")
        wait_for(lambda: scene.new.one("select count(*) from many where a <> 'x'", db="shop") == 3000, 60, "the table to be copied again", show=scene.story)
        scene.wait_following()
        assert scene.leat.run("verify").json["ok"]
        scene.finish()
