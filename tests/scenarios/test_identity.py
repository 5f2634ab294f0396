"""What rows are told apart by, where a table has no key fit for it: the best there is, given with what stood before noted; and given
again when it is dropped, since the users' own UPDATEs would fail."""
import psycopg2
import pytest

from compare import compare
from follow import LEAT_TABLES
from wait import wait_for

TABLES = """
create table plain (id int primary key, x int);
create table by_unique (a int not null, b int, x int); create unique index "Best" on by_unique (a); create unique index worse on by_unique (b);
create table deferred (a int, x int, primary key (a) deferrable);
create table deferred_too (a int, b int not null unique, x int, primary key (a) deferrable);
create table unwanted (id int primary key, x int); alter table unwanted replica identity nothing;
create table orphan (a int not null, x int); create unique index gone on orphan (a); alter table orphan replica identity using index gone; drop index gone;
create table none (a int, x int);
create table partial (a int not null, x int); create unique index on partial (a) where x > 0;
"""
NAMES = ("plain", "by_unique", "deferred", "deferred_too", "unwanted", "orphan", "none", "partial")
LOOK = """select c.relname, c.relreplident::text, (select x.relname from pg_index i join pg_class x on x.oid = i.indexrelid where i.indrelid = c.oid and i.indisreplident)
    from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' order by 1"""
GIVEN = {"plain": ("d", None), "by_unique": ("i", "Best"), "deferred": ("f", None), "deferred_too": ("i", "deferred_too_b_key"), "unwanted": ("d", None), "orphan": ("f", None),
         "none": ("f", None), "partial": ("f", None)}


def identities(server):
    return {name: (kind, index) for name, kind, index in server.sql(LOOK, db="shop")}


def change(old, n):
    for t in NAMES:
        key = "id" if t in ("plain", "unwanted") else "a"
        old.sql(f"update {t} set x = x + 1 where {key} % 3 = 0; update {t} set {key} = {key} + 1000 where {key} = {n}; delete from {t} where {key} = {n} + 1", db="shop")


@pytest.mark.trap("P6", "P34")
@pytest.mark.parametrize("source,target", [(13, 17), (10, 15)])
def test_given_kept_and_given_back(server, migration, source, target):
    old, new = server(source, "old"), server(target, "new")
    dsn, other = old.createdb("shop"), new.createdb("shop")
    old.sql(TABLES, db="shop")
    for t in NAMES:
        third = ", b" if t in ("by_unique", "deferred_too") else ""
        key = "id" if t in ("plain", "unwanted") else "a"
        old.sql(f"insert into {t} ({key}{third}, x) select g{', g' if third else ''}, g from generate_series(1, 200) g", db="shop")
    before = identities(old)
    leat = migration({"shop": (dsn, other)})
    plan = leat.run("plan").json["stores"][0]["without_key"]
    assert "public.by_unique (USING INDEX \"Best\")" in plan and "public.none (FULL)" in plan and not [p for p in plan if "plain" in p], plan
    leat.run("start", "--yes")
    for _ in range(3):   # killed while it arms, too
        wait_for(lambda: leat.pids("engine"), 30, "an engine")
        leat.kill9("engine")
    leat.wait_status(lambda s: s["stores"][0].get("following"), 120, "following")
    assert identities(old) == GIVEN
    change(old, 10)
    # its key goes: the users' statements fail until it has another
    old.sql('drop index "Best"; alter table plain drop constraint plain_pkey', db="shop")

    def heals():
        try:
            change(old, 20)
        except psycopg2.Error:
            return False
        return True
    wait_for(heals, 30, "the tables to have an identity again", show=leat.logs)
    assert identities(old)["by_unique"] == ("f", None) and identities(old)["plain"] == ("f", None)
    new.sql('drop index "Best"; alter table plain drop constraint plain_pkey', db="shop")   # the schema's change, by hand
    leat.run("resume", "--yes", check=False)
    leat.wait_status(lambda s: s["stores"][0].get("following"), 60, "following")
    change(old, 30)
    wait_for(lambda: not compare(dsn, other, sequences=None, skip=LEAT_TABLES), 60, "both sides to be equal", every=0.5, show=lambda: str(compare(dsn, other, sequences=None, skip=LEAT_TABLES)) + leat.logs())
    assert new.one("select count(*) from leat.ledger", db="shop") == 0
    assert "identity.given" in [e["kind"] for e in leat.run("events").events if "kind" in e]
    leat.run("stop")
    for (undo,) in old.sql("select undo from leat.identity", db="shop"):
        old.sql(undo, db="shop")
    before["orphan"] = ("n", None)   # an index that is gone counts as none, and cannot be given back otherwise
    assert identities(old) == before
    leat.close()
