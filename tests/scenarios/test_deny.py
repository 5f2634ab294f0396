"""After a switch: who came past the doors is ended on the side that was left, and let in there again before it serves again."""
import contextlib

import psycopg2

from test_rights import prepare
from test_switch import Pair
from wait import wait_for

GATES = "gates:\n  rehearsals: 0\n  pause: 5s\n"
PRIVILEGES = ("select coalesce(grantor::regrole::text, '') || '>' || case grantee when 0 then 'public' else grantee::regrole::text end || ':' || privilege_type || is_grantable::text"
              " from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) where datname = 'shop' order by 1")


def lets_in(server, user, db="shop"):
    try:
        server.conn(db, user=user).close()
        return True
    except psycopg2.OperationalError as e:
        assert "permission denied for database" in str(e), e
        return False


def lives(session):
    try:
        with session.cursor() as c:
            c.execute("select 1")
        return True
    except psycopg2.Error:
        return False


def done(m, command):
    """Its answer, once its gates are open."""
    last = {}

    def goes():
        last["answer"] = m.run(command, "--yes", check=False)
        return last["answer"].status == 0
    wait_for(goes, 60, f"the {command}", show=lambda: str(last["answer"].json) + m.logs())
    return last["answer"].json


def denied(r, pair, side):
    """What a switch says of the side it left."""
    assert r["deny"]["side"] == side and r["deny"]["left"] == [] and r["deny"]["notes"] == [], r["deny"]
    assert set(r["deny"]["may_connect"]) == {"postgres"}, r["deny"]   # a superuser is kept out by nothing, and named
    assert not lets_in(pair.side(side), "app") and not lets_in(pair.side(side), "reader") and lets_in(pair.side(side), "postgres")


def test_there_and_back(server, migration):
    pair = Pair(server, migration, 13, 17, extra=GATES, doors=1)
    for s in (pair.old, pair.new):
        s.createdb("beside")
        s.sql("create role reader login; create role third; grant connect on database shop to reader with grant option; set role reader; grant connect on database shop to third")
    pair.start()
    before = {s: s.sql(PRIVILEGES) for s in (pair.old, pair.new)}
    pair.leat.run("rehearse", "--yes")
    pair.ready()
    beside = pair.old.conn("beside", user="app", autocommit=True)
    past = psycopg2.connect(pair.direct[0], application_name="a-cron-job")
    past.autocommit = True
    client = psycopg2.connect(pair.door_dsns()[0])
    client.autocommit = True
    assert lives(client) and lives(past)
    sessions = pair.leat.wait_status(lambda s: s["stores"][0]["sessions"]["bypassing"], 30, "who came past the door")["stores"][0]["sessions"]
    assert sessions["bypassing"] == 1 and [(w["side"], w["user"], w["application"], w["count"]) for w in sessions["who"]] == [("source", "app", "a-cron-job", 1)], sessions
    assert "connected to the source past the doors: a-cron-job (app@" in pair.leat.run("status", output="text").out
    assert lives(past)   # a rehearsal ends nobody

    r = pair.leat.run("cutover", "--yes").json
    denied(r, pair, "source")
    assert not lives(past) and lives(client) and lives(beside) and lets_in(pair.old, "app", "beside") and lets_in(pair.new, "app")
    told = [e["body"]["detail"] for e in pair.leat.run("events").events if e.get("kind") == "step.intent" and e["body"].get("step") == "deny.source"]
    assert len(told) == 1 and "reader=c*/postgres" in told[0]["privileges"] and "third=c/reader" in told[0]["privileges"], told
    assert pair.leat.run("cutover", "--yes", check=3).json["error"]["code"] == "gate"   # again: nothing to do, and it is denied still
    assert not lets_in(pair.old, "app")

    wait_for(lambda: pair.leat.run("rehearse", "--yes", check=False).status == 0, 60, "a rehearsal of the way back", show=pair.leat.logs)
    assert not lets_in(pair.old, "app") and lives(client)   # let in for it, and no longer

    r = pair.leat.run("rollback", "--yes").json
    denied(r, pair, "target")
    assert pair.old.sql(PRIVILEGES) == before[pair.old] and lives(client)
    with contextlib.closing(psycopg2.connect(pair.direct[0])) as again:
        assert lives(again)
    assert pair.leat.run("verify").json["ok"]
    r = pair.leat.run("cutover", "--yes").json
    denied(r, pair, "source")
    assert pair.new.sql(PRIVILEGES) == before[pair.new] and lives(client)


def test_without_superuser(server, migration):
    """A member of the owner; and what such a role may not do is said."""
    old, new = server(15, "old"), server(15, "new")
    source, target = prepare(old, new)
    for s in (old, new):
        s.sql("grant set on parameter session_replication_role to leat; alter role app login; create role stranger login")
    new.sql("grant all on database shop to app")   # what its owner may on the other side
    old.sql("alter database shop owner to app")
    m = migration({"shop": (source, target)}, extra=GATES)
    m.run("start", "--yes")
    m.wait_status(lambda s: s["stores"][0].get("following"), 60, "following")
    m.run("rehearse", "--yes")
    m.wait_status(lambda s: s["stores"][0]["way_back"]["following"], 60, "the way back to be followed")
    assert m.run("verify").json["ok"]
    before = old.sql(PRIVILEGES)
    mine, other = old.conn("shop", user="app", autocommit=True), old.conn("shop", user="stranger", autocommit=True)
    r = done(m, "cutover")
    assert not lives(mine) and lives(other)
    assert [w["user"] for w in r["deny"]["left"]] == ["stranger"] and "pg_signal_backend" in r["deny"]["notes"][0], r["deny"]
    assert not lets_in(old, "app") and not lets_in(old, "stranger")
    r = done(m, "rollback")
    assert old.sql(PRIVILEGES) == before and lets_in(old, "app") and lives(other)
    assert "which owns it" in r["deny"]["notes"][0] and lets_in(new, "app"), r["deny"]   # the target's database is postgres's
