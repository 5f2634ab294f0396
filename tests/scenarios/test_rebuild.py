"""A session rebuilt on the other side is the session it was: asked of real servers, with the bytes the door sends."""
import json
import re

import pytest

import rawpg
import shift
from rawpg import Raw

PAIRS = [(13, 17), (10, 18), (17, 13)]

ROLES = """
    create role app login; create role admin login superuser; create role reader; grant reader to app;
    create schema evil; grant all on schema evil to public;
    create function evil.eq(text, text) returns bool language sql as 'select false';
    create operator evil.= (leftarg = text, rightarg = text, procedure = evil.eq);
    create function evil.json_agg(text) returns json language sql as 'select null::json';
    create table t (id int primary key, v text);
"""


def pair(server, majors, extra=("", "")):
    sides = [server(major, name) for major, name in zip(majors, ("old", "new"))]
    for s, more in zip(sides, extra):
        s.sql(ROLES + more)
    return sides


def move(old_session, new_server, user="app", customs=(), unnamed=None, **startup):
    """What the door does: asks, rebuilds, asks the new one and compares."""
    before = shift.ask(old_session, customs)
    assert shift.unmovable(before) is None
    new = Raw(new_server.port, user, **startup)
    new.send(shift.rebuild(before, user, unnamed))
    after = shift.ask(new, customs)
    assert shift.differs(before, after) is None, (before, after)
    return new


@pytest.mark.parametrize("majors", PAIRS)
def test_a_session_comes_back_whole(server, majors):
    old, new = pair(server, majors)
    with Raw(old.port, "app", application_name="shop", client_encoding="UTF8") as session:
        for statement in ("set search_path = evil, public, pg_catalog", "set work_mem = '6543kB'", "set app.tenant = 'Ünï ''x'''", "set default_transaction_read_only = on",
                          "set datestyle = 'SQL, DMY'", "set statement_timeout = '7s'", "set role reader", "listen jobs", 'listen "Ünï ""x"""',
                          "select 1; prepare two(int) as select $1 + 2, 'a;b'; select 3", "prepare \"Odd N\" as select '1'::text"):
            session.sql(statement)
        session.send(rawpg.parse("by name", "select $1::text = 'ä' or $2 > 1", (25, 0)), rawpg.parse("", "select $1 || 'x'", (25,)), rawpg.sync())
        before = shift.ask(session, ["app.tenant", "app.other", "x"])
        state = json.loads(before)
        assert state["role"] == "reader" and state["channels"] == ["jobs", 'Ünï "x"'] and ["app.tenant", "Ünï 'x'"] in state["customs"]
        # The client's unnamed statement is still there, and leat's own statement is not.
        assert session.rows(rawpg.bind("", [b"y"]), rawpg.execute(), rawpg.sync()) == [[b"yx"]]
        assert [n for n, in session.sql("select name from pg_prepared_statements order by name collate \"C\"")] == ["Odd N", "by name", "two"]
        session.send(rawpg.parse("", "select $1 || 'x'", (25,)), rawpg.sync())
        with move(session, new, customs=["app.tenant", "app.other"], unnamed=rawpg.parse("", "select $1 || 'x'", (25,))[5:], application_name="shop",
                  client_encoding="UTF8") as moved:
            assert moved.rows(rawpg.bind("", [b"z"]), rawpg.execute(), rawpg.sync()) == [[b"zx"]]
            assert moved.rows(rawpg.bind("by name", [b"b", b"2"]), rawpg.execute(), rawpg.sync()) == [[b"t"]]
            assert moved.sql("execute two(5)") == [["7", "a;b"]]
            assert moved.sql("select current_user, session_user, current_setting('app.tenant'), current_setting('work_mem')") == [["reader", "app", "Ünï 'x'", "6543kB"]]
            assert moved.sql("show statement_timeout") == [["7s"]]
            new.sql("notify jobs, 'hello'")
            got = moved.send(rawpg.query("select 1"))
            assert [body[4:] for kind, body in got if kind == b"A"] == [b"jobs\0hello\0"]
            moved.sql("reset all")
            assert moved.sql("show work_mem") == [["4MB"]]


def test_another_authorization_and_a_setting_of_it(server):
    old, new = pair(server, (13, 17))
    with Raw(old.port, "admin") as session:
        session.sql("set log_min_duration_statement = 12345")
        session.sql("set session authorization app")
        session.sql("set role reader")
        with move(session, new, "admin") as moved:
            assert moved.sql("select session_user, current_user") == [["app", "reader"]]
            moved.sql("reset session authorization")
            assert moved.sql("show log_min_duration_statement") == [["12345ms"]]


def test_a_client_with_another_encoding(server):
    """Its statements' texts are put in UTF-8; its unnamed statement's bytes are its own."""
    old, new = pair(server, (13, 17))
    for how in ("startup", "set"):
        startup = {"client_encoding": "LATIN1"} if how == "startup" else {}
        with Raw(old.port, "app", **startup) as session:
            if how == "set":
                session.sql("set client_encoding = 'LATIN1'")
            unnamed = rawpg.parse("", "select 'ü'".encode("latin1"))
            session.send(rawpg.parse("s", "select 'ä€'".replace("€", "ö").encode("latin1")), unnamed, rawpg.sync())
            with move(session, new, unnamed=unnamed[5:], **startup) as moved:
                assert moved.rows(rawpg.bind("s"), rawpg.execute(), rawpg.sync()) == [["äö".encode("latin1")]]
                assert moved.rows(rawpg.bind(""), rawpg.execute(), rawpg.sync()) == [["ü".encode("latin1")]]
                moved.sql("reset client_encoding")
                assert moved.sql("show client_encoding") == [["LATIN1" if how == "startup" else "UTF8"]]


def test_what_cannot_be_moved_is_named(server):
    old = server(13, "old")
    old.sql(ROLES)
    for statement, why in (("create temp table scratch (a int)", "temporary objects: table scratch"),
                           ("create function pg_temp.f() returns int language sql as 'select 1'", "temporary objects: function pg_temp_"),
                           ("create type pg_temp.mood as enum ('a')", "temporary objects: type"),
                           ("declare held cursor with hold for select 1", "cursors WITH HOLD: held"),
                           ("select pg_advisory_lock(7), pg_advisory_lock_shared(1, 2)", "advisory locks of the session: ")):
        with Raw(old.port, "app") as session:
            session.sql("set search_path = evil, pg_catalog")
            assert shift.unmovable(shift.ask(session)) is None
            session.sql(statement)
            assert re.match(re.escape(why), shift.unmovable(shift.ask(session)) or "")
            if "advisory" in statement:
                assert shift.unmovable(shift.ask(session, locks=False)) is None
    with Raw(old.port, "app") as session:  # what ends with its transaction is no hindrance
        session.sql("begin; create temp table scratch (a int) on commit drop; select pg_advisory_xact_lock(7); declare c cursor for select 1; commit")
        assert shift.unmovable(shift.ask(session)) is None


def test_a_prepare_that_cannot_be_told_apart(server):
    old = server(13, "old")
    with Raw(old.port) as session:
        session.sql("prepare a as select 1; deallocate a; prepare a as select 2")
        with pytest.raises(shift.Unmovable, match='prepared statement "a".*PREPARE'):
            shift.rebuild(shift.ask(session), "postgres")


def test_a_rebuild_that_is_refused_ends_at_once(server):
    """A table that is not there: the pipeline's one error, and one ReadyForQuery."""
    old, new = server(13, "old"), server(17, "new")
    old.sql("create table only_here (a int)")
    with Raw(old.port) as session, Raw(new.port) as fresh:
        session.send(rawpg.parse("s", "select a from only_here"), rawpg.sync())
        with pytest.raises(rawpg.Refused, match="42P01"):
            fresh.send(shift.rebuild(shift.ask(session), "postgres"))
        assert fresh.sql("select 1") == [["1"]]


def test_differences_are_named(server):
    old = server(13, "old")
    with Raw(old.port) as a, Raw(old.port) as b:
        for statement, why in (("set work_mem = '5MB'", "setting work_mem"), ("listen x", "channels listened to: x"), ("prepare p as select 1", 'prepared statement "p"')):
            a.sql(statement)
            assert why in shift.differs(shift.ask(a), shift.ask(b)) and why in shift.differs(shift.ask(b), shift.ask(a))
            b.sql(statement)
            assert shift.differs(shift.ask(a), shift.ask(b)) is None


@pytest.mark.parametrize("major", [10, 17])
def test_custom_settings_that_functions_set(server, major):
    old = server(major, "old")
    old.sql("""
        create function f() returns void language plpgsql as $f$ begin perform set_config( 'App.Tenant', 'x', false); set session "app"."user" = 1; set app.c to 'y'; perform "set_config" /* a */ ( -- b
            'app.d', 'z', true); set/**/local app.e = 1; end $f$;
        create function g() returns text language sql as $f$ select set_config('in.sql', 'x', false) || 'update t set a = b.c' $f$;
    """)
    if major >= 14:
        old.sql("create function h() returns text language sql begin atomic select set_config('in.atomic', 'x', false); end")
    text = "\n".join(line for line in (shift.TREE / "sql" / "door_customs.sql").read_text().splitlines() if not line.startswith("--"))
    names = [name for name, in old.sql(text)]
    assert names == sorted(["app.tenant", "app.user", "app.c", "app.d", "app.e", "in.sql"] + (["in.atomic"] if major >= 14 else []))
    with Raw(old.port) as session:
        session.sql("select f(), g()")
        assert {name for name, _ in json.loads(shift.ask(session, names))["customs"]} == {"app.tenant", "app.user", "app.c", "app.d", "app.e", "in.sql"}


def test_what_an_extension_has_made_its_own_is_no_custom_setting(server):
    """By the same kind of name; asked for, it would be given to a session that may not set it."""
    old = server(17, "old", settings={"shared_preload_libraries": "auto_explain"})
    old.sql("create role app login")
    with Raw(old.port, user="app") as session:
        session.sql("set app.x = 1")
        assert json.loads(shift.ask(session, ["app.x", "auto_explain.log_min_duration"]))["customs"] == [["app.x", "1"]]


def test_asked_beforehand_and_again(server):
    old = server(17, "old")
    with Raw(old.port) as session:
        session.send(rawpg.parse("", "select 5"), rawpg.sync())
        first = shift.ask(session, how="keep")
        assert first == shift.ask(session, how="again") == shift.ask(session, how="keep") == shift.ask(session, how="again")
        session.send(rawpg.parse("mine", "select 6"), rawpg.sync())
        session.sql("set work_mem = '5MB'")
        assert json.loads(shift.ask(session, how="again"))["settings"] == [["work_mem", "5MB"]]
        shift.forget(session)
        assert session.sql("select name from pg_prepared_statements") == [["mine"]]
        with pytest.raises(rawpg.Refused, match="26000"):
            shift.ask(session, how="again")
        assert shift.ask(session) == shift.ask(session, how="keep")
