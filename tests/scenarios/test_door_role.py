"""Doors with a database role of their own, which may log in and nothing else: what it is granted, what it does by itself, what it may not."""
import os
import signal

import psycopg2
import psycopg2.errors
import pytest

import servers

from clients import SCHEMA, Clients
from door import Door, make_authority
from test_deny import done, lets_in
from test_door import value
from test_rights import prepare
from test_switch import Pair
from test_switch_rights import halted
from wait import wait_for

GATES = "gates:\n  rehearsals: 0\n  pause: 5s\n"
CALLS = {"server", "abort_attempt", "open_side", "annul_attempt", "take_over", "leave"}
MAY_CALL = "select p.proname from pg_proc p where p.pronamespace = 'leat'::regnamespace and has_function_privilege('gate', p.oid, 'EXECUTE')"
MAY_READ = """select c.relname, v from pg_class c, unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) v
    where c.relnamespace in ('leat'::regnamespace, 'public'::regnamespace) and c.relkind in ('r', 'p') and has_table_privilege('gate', c.oid, v)"""
DOORS = "select distinct usename from pg_stat_activity where application_name like 'leat: door%'"


def doors_own(text, old, new):
    """The doors' way to each side, as gate."""
    mine = "".join(f"    door_{side}: {s.dsn('shop', user='gate', password=False).replace('gate@', 'gate:${GATE_PASSWORD}@')}\n" for side, s in (("source", old), ("target", new)))
    return text.replace("    target:", mine + "    target:", 1)


class GatePair(Pair):
    """Passwords count: of app, who comes through the door, and of gate, who is the door's."""

    def __init__(self, server, migration, source, target, users, extra=GATES, new_role="login"):
        self.users = users
        if source < 11:
            self.schema = SCHEMA.split("create table part ", maxsplit=1)[0] + "create table part (client int, n bigint, primary key (client, n));"
        os.environ["GATE_PASSWORD"] = "of the @door"
        super().__init__(server, migration, source, target, extra=extra, doors=1)
        for s, role in ((self.old, "login"), (self.new, new_role)):
            if role:
                s.sql(f"set password_encryption = 'scram-sha-256'; create role gate {role} password 'of the @door'")
            s.set_hba(["host all app,gate 127.0.0.1/32 scram-sha-256"])
            if users == "authid" and role:
                s.sql("grant select on pg_authid to gate", db="shop")
        self.old.sql("set password_encryption = 'scram-sha-256'; alter role app password 'app-secret'")
        if users == "file":
            verifier = self.old.one("select rolpassword from pg_authid where rolname = 'app'")
            (self.leat.folder / "users.txt").write_text(f'"app" "{verifier}"\n')

    def config(self, extra):
        text = super().config(extra).replace("    door_trust: [127.0.0.1/32]\n", "    door_users: ./users.txt\n" if self.users == "file" else "")
        return doors_own(text, self.old, self.new)

    def door_dsns(self):
        return [f"postgresql://app:app-secret@127.0.0.1:{port}/shop" for port in self.doors]


def leave_the_door_alone(pair, process):
    """Nobody is left who could settle what the switch decided, but the door."""
    pair.leat.kill9("pilot")
    for pid in pair.leat.pids("engine"):
        os.kill(pid, signal.SIGKILL)
    process.kill()
    process.communicate()


def opens_by_itself(pair, command, serves):
    process = halted_at_open(pair, command)
    leave_the_door_alone(pair, process)
    wait_for(lambda: pair.serving() == [serves], 60, f"the door to open the {serves}", show=pair.story)
    assert {s.sql(DOORS)[0][0] for s in (pair.old, pair.new)} == {"gate"}


def halted_at_open(pair, command):
    return halted(pair, "open", command)


def refused(server, statement, words):
    with pytest.raises(psycopg2.Error) as e:
        server.sql(statement, db="shop", user="gate")
    assert words in str(e.value), e.value


@pytest.mark.limit(300)
@pytest.mark.parametrize("source,target,users", [(10, 18, "file"), (15, 15, "authid")])
def test_there_and_back(server, migration, source, target, users):
    pair = GatePair(server, migration, source, target, users)
    pair.start()
    readable = {pair.old: ["authority"], pair.new: ["authority", "copy", "progress"]}   # how far a side is, for reads first
    may_read = {s: [(table, "SELECT") for table in tables] for s, tables in readable.items()}
    wait_for(lambda: {s: sorted(s.sql(MAY_READ, db="shop")) for s in readable} == may_read, 10, "grants, before any switch is prepared", show=pair.leat.logs)
    with Clients(pair.door_dsns(), count=2, pause=0.01) as clients:
        wait_for(lambda: clients.total() > 20, 30, "clients through the door", show=pair.story)
        assert pair.leat.run("rehearse", "--yes").json["runs"][0]["ok"]
        for s in (pair.old, pair.new):
            assert s.sql(DOORS) == [("gate",)]
            assert {name for name, in s.sql(MAY_CALL, db="shop")} == CALLS
            assert sorted(s.sql(MAY_READ, db="shop")) == may_read[s]
            refused(s, "select leat.decide('test', 'shop', 0, 1)", "permission denied for function decide")
            refused(s, "select leat.fence_set('leat_fence', 'DISABLE')", "permission denied for function fence_set")
            refused(s, "update leat.authority set epoch = 7", "permission denied")
            refused(s, "select * from account", "permission denied")
            refused(s, "select * from leat.lease", "permission denied")
        pair.new.sql("grant insert on account to gate", db="shop")
        refused(pair.new, "insert into account values (1000, 0)", "takes no writes on this side")
        pair.new.sql("revoke insert on account from gate", db="shop")
        pair.ready()
        opens_by_itself(pair, "cutover", "target")
        before = clients.total()
        wait_for(lambda: clients.total() > before + 50, 60, "clients on the target", show=pair.story)
        pair.leat.run("start", "--yes")
        wait_for(pair.followed, 60, "both streams to be followed", show=pair.leat.logs)
        r = done(pair.leat, "rollback")
        assert r["authority"] == "source" and r["failed"] == 0 and r["deny"]["notes"] == [] and r["deny"]["left"] == [], r
        assert set(r["deny"]["may_connect"]) == {"postgres"} and not lets_in(pair.new, "app") and lets_in(pair.new, "gate"), r
        pair.ready()
        r = done(pair.leat, "cutover")
        assert r["authority"] == "target" and r["failed"] == 0 and not lets_in(pair.old, "app") and lets_in(pair.old, "gate"), r
        before = clients.total()
        wait_for(lambda: clients.total() > before + 50, 60, "clients on the target again", show=pair.story)
    assert clients.errors == [] and clients.refused == 0
    with pair.new.conn("shop") as conn:
        assert clients.check(conn) == []


def test_reads_first(server, migration):
    """The role is made on the target with all others that log in, by leat; until then doctor says that it is not there."""
    pair = GatePair(server, migration, 15, 17, "file", new_role=None)
    assert what_doctor_says(pair) == ["CREATE ROLE gate LOGIN PASSWORD '...'"]
    pair.leat.write((pair.leat.folder / "leat.yaml").read_text().replace("    door_users", "    reads: {share: 100%, wait: 10s}\n    door_users"))
    pair.start()
    c = psycopg2.connect(pair.door_dsns()[0])   # in a `with` of its own it would begin transactions
    c.autocommit = True

    def at_target():
        with c.cursor() as cursor:
            cursor.execute("select count(*) from account")
            assert cursor.fetchone() == (50,)
        return pair.leat.status("shop")["doors"][0]["reads"]["target"] > 0
    wait_for(at_target, 30, "a read at the target", show=pair.story)
    c.close()


def test_a_way_to_another_server_of_that_name(server, tmp_path):
    """What a door is led to by door_target has to be the server of the gate: no client is held for a move to another one. Its clients go that way, too."""
    old, new, other = server(15, "old"), server(15, "new"), server(15, "other")
    source = old.createdb("shop")
    lane = f"    door_source: {old.socket_dsn('shop')}\n"
    new.createdb("shop_new")
    other.createdb("shop_new")
    sides = make_authority(old, new, "shop", "shop_new")
    for wrong in (True, False):
        way = (other if wrong else new).dsn("shop_new")
        with Door(tmp_path / f"door{wrong}", source, new.dsn("shop_new"), extra=f"{lane}    door_target: {way}\n", sides=sides, nth=0, database="shop") as door:
            c = door.connect()
            assert value(c, "select inet_server_addr()") is None
            assert door.warm()["ok"]
            held = door.hold()
            assert held["ok"] is not wrong, held
            if not wrong:
                assert door.rebuild()["ok"] and door.release("target", 1)["ok"]
                assert value(c, "select inet_server_port()") == new.port
            assert not wrong or "not the server of the gate: it failed over since, or door_target in leat.yaml leads to another one" in str(held), held


def test_leat_is_no_superuser(server, migration):
    """What the door calls runs as a role that owns no table, only by being a member of its owner."""
    old, new = server(15, "old"), server(17, "new")
    prepare(old, new)
    for s in (old, new):
        s.sql("grant set on parameter session_replication_role to leat; alter role app login; grant all on database shop to app; create role gate login")

    class Plain(Pair):
        def __init__(self):   # pylint: disable=super-init-not-called
            self.old, self.new, self.doors = old, new, [servers._free_port()]
            text = self.config(GATES)
            os.environ["GATE_PASSWORD"] = "none"
            self.leat = migration(config=doors_own(text, old, new))

        def serving(self):
            found = []
            for name in ("source", "target"):
                try:
                    self.side(name).sql("update t set x = x where id = 1", db="shop")
                    found.append(name)
                except psycopg2.errors.SerializationFailure:
                    pass
            return found
    pair = Plain()
    assert what_doctor_says(pair) == ["GRANT SELECT ON pg_catalog.pg_authid TO gate -- in database shop"] * 2
    (pair.leat.folder / "users.txt").write_text('"app" ""\n')
    pair.leat.write((pair.leat.folder / "leat.yaml").read_text().replace("    door_trust", "    door_users: ./users.txt\n    door_trust"))
    pair.start()
    pair.leat.run("rehearse", "--yes")
    pair.ready()
    with psycopg2.connect(pair.door_dsns()[0]) as c, c.cursor() as cursor:
        cursor.execute("select 1")
        c.commit()
        opens_by_itself(pair, "cutover", "target")
        cursor.execute("update t set x = 'moved' where id = 2 returning inet_server_port()")
        assert cursor.fetchone()[0] == new.port
    assert {name for name, in new.sql(MAY_CALL, db="shop")} == CALLS


def what_doctor_says(pair):
    """Of the doors' role: the statements."""
    return [f["fix"] for f in pair.leat.run("doctor", check=False).json["findings"] if f["id"] == "door-role" and f["severity"] != "ok"]


def test_what_is_missing_is_named(server, migration):
    pair = GatePair(server, migration, 15, 15, "authid", new_role="nologin")
    lost = "revoke select on pg_authid from gate; revoke connect on database shop from public, gate"
    pair.new.sql(lost, db="shop")
    pair.old.sql("revoke connect on database shop from public; grant connect on database shop to gate, app")
    wanted = {"ALTER ROLE gate LOGIN", "GRANT CONNECT ON DATABASE shop TO gate", "GRANT SELECT ON pg_catalog.pg_authid TO gate -- in database shop"}
    assert set(what_doctor_says(pair)) == wanted
    pair.start()
    pair.new.sql(lost, db="shop")   # privileges of the source are built on the target
    said = pair.leat.run("rehearse", "--yes", check=3, output="text")
    assert all(fix in said.out + said.err for fix in wanted), said.out + said.err
    for fix in wanted:
        pair.new.sql(fix, db="shop")
    pair.leat.run("rehearse", "--yes")
    pair.new.sql("drop owned by gate", db="shop")   # what leat gave, it gives again
    pair.leat.run("rehearse", "--yes", check=3)
    pair.new.sql("grant connect on database shop to gate; grant select on pg_authid to gate", db="shop")
    pair.leat.run("rehearse", "--yes")
    pair.new.sql("create role former login; grant usage on schema leat to former; grant execute on function leat.server() to former", db="shop")
    said = pair.leat.run("rehearse", "--yes", output="text")
    took = "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA leat FROM former; REVOKE ALL ON ALL TABLES IN SCHEMA leat FROM former; REVOKE ALL ON SCHEMA leat FROM former"
    assert took in said.out + said.err, said
    pair.new.sql(took + "; drop role former", db="shop")
    # as an older leat left it: nobody's but its own to call, and with the caller's rights
    for call, in pair.new.sql("select p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'leat'::regnamespace and p.prosecdef", db="shop"):
        pair.new.sql(f"alter function {call} security invoker; revoke execute on function {call} from gate", db="shop")
    assert pair.new.sql(MAY_CALL, db="shop") == []
    pair.leat.run("stop")
    pair.leat.run("start", "--yes")
    wait_for(lambda: {name for name, in pair.new.sql(MAY_CALL, db="shop")} == CALLS, 30, "what the engine grants", show=pair.leat.logs)
    assert pair.new.one("select bool_and(p.prosecdef) from pg_proc p where p.pronamespace = 'leat'::regnamespace and p.proname = any(%s)", (list(CALLS),), db="shop")
