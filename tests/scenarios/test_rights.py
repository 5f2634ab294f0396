"""As on managed services: no superuser on either side. A role with REPLICATION that is a member of the owner; on the target a role that
was granted session_replication_role. And what is missing is named before anything changes."""
import pytest

from compare import compare
from follow import LEAT_TABLES
from wait import wait_for


def prepare(old, new):
    old.createdb("shop")
    new.createdb("shop")
    for s in (old, new):
        s.sql("create role app")
        s.sql("create role leat login replication")
        s.sql("grant app to leat")
        s.sql("grant create on database shop to leat")
    old.sql("alter schema public owner to app; create table t (id int primary key, x text); alter table t owner to app;"
            " create table nokey (x int); alter table nokey owner to app; insert into nokey values (1), (1), (2);"
            " insert into t select g, md5(g::text) from generate_series(1, 5000) g", db="shop")
    new.sql("alter schema public owner to app", db="shop")
    return old.dsn("shop", user="leat"), new.dsn("shop", user="leat")


@pytest.mark.trap("P27")
def test_without_superuser(server, migration):
    old, new = server(13, "old"), server(17, "new")
    source, target = prepare(old, new)
    new.sql("grant set on parameter session_replication_role to leat")
    m = migration({"shop": (source, target)})
    m.run("start", "--yes")
    m.wait_status(lambda s: s["stores"][0].get("following"), 60, "following")
    old.sql("insert into t values (-1, 'late'); update t set x = 'u' where id = 7; delete from nokey where ctid = (select min(ctid) from nokey)", db="shop")
    wait_for(lambda: new.one("select count(*) from t where id = -1", db="shop") == 1, 30, "the last row", show=m.logs)
    found = compare(old.dsn("shop"), new.dsn("shop"), sequences=None, skip=LEAT_TABLES)
    assert not found, str(found)


def test_a_missing_right_is_named_and_nothing_changes(server, migration):
    old, new = server(13, "old"), server(17, "new")
    source, target = prepare(old, new)
    before = old.sql("select nspname from pg_namespace order by 1", db="shop")
    refused = migration({"shop": (source, target)}).run("run", "--yes", check=1).json
    assert "session_replication_role" in refused["error"]["todo"], refused
    assert old.sql("select nspname from pg_namespace order by 1", db="shop") == before
    assert old.one("select count(*) from pg_replication_slots") == 0
    assert old.one("select count(*) from pg_publication", db="shop") == 0


def test_consent_is_asked_for(server, migration):
    old, new = server(15, "old"), server(15, "new")
    old.sql("create table t (id int primary key)", db=old.createdb("shop").rsplit("/", 1)[1])
    refused = migration({"shop": (old.dsn("shop"), new.createdb("shop"))}).run("run", check=3).json
    assert refused["error"]["code"] == "consent"
    assert old.one("select count(*) from pg_replication_slots") == 0


def test_a_target_with_the_same_tables_is_refused(server, migration):
    old, new = server(15, "old"), server(15, "new")
    source, target = old.createdb("shop"), new.createdb("shop")
    for s in (old, new):
        s.sql("create table t (id int primary key)", db="shop")
    refused = migration({"shop": (source, target)}).run("run", "--yes", check=1).json
    assert refused["error"]["code"] == "target-not-empty", refused
    assert old.one("select count(*) from pg_replication_slots") == 0
