"""A client's numbers of types, kept while its session is on the other side: values leave the source in binary, are taken in by the target under its own
numbers, and come back as they were."""
import struct

import pytest

import rawpg
import shift
from rawpg import Raw
from shift import SOURCE, TARGET

TYPES = """
    create schema "Ünï x";
    create type mood as enum ('sad', 'ok', 'happy');
    create type "Ünï x".mood as enum ('other');
    create type place as (x int, m mood, moods mood[], note text);
    create type trip as (a place, b place[], r text[]);
    create domain moods as mood[] check (array_length(value, 1) < 5);
    create domain deep as moods;
    create type moodrange as range (subtype = mood);
    create type trips as range (subtype = place);
    create table seat (id int primary key, m mood, at place);
"""
SHUFFLED = "create type gone as enum ('x'); create table burnt (a int, b int); create type gone2 as (a int);"

# value, type
VALUES = [
    ("'ok'", "mood"), ("null", "mood"), ("'{sad,happy,null}'", "mood[]"), ("'{{sad,ok},{ok,happy}}'", "mood[]"), ("'{}'", "mood[]"),
    ("row(1, 'ok', '{sad}', 'ä')", "place"), ("row(null, null, null, null)", "place"), ("array[row(1, 'ok', '{sad,ok}', 'x')::place, null]", "place[]"),
    ("row(row(1, 'ok', null, ''), array[row(2, 'sad', '{}', 'y')::place], '{a,b}')", "trip"), ("'{sad,ok}'", "moods"), ("'{sad}'", "deep"),
    ("'[sad,happy)'", "moodrange"), ("'empty'", "moodrange"), ("'(,ok]'", "moodrange"), ("array['[sad,happy)'::moodrange, '(,)']", "moodrange[]"),
    ("trips(row(1, 'sad', '{ok}', null)::place, null)", "trips"), ("row(1, 'ok', row(2, 'sad', null, null))", "seat"), ("'{other}'", '"Ünï x".mood[]'),
    ("42", "int"), ("'{1,2}'", "int[]"), ("'{a,null}'", "text[]"), ("'[1,5)'", "int4range"),
    ("'x'", "text"),
]
NEWER = [("array['{sad}'::moods, '{ok,happy}']", "moods[]")]  # from 11 on
NEWEST = [("'{[sad,ok), [happy,happy]}'", "moodmultirange"), ("trips_multirange(trips(row(1, 'sad', null, ''), row(2, 'ok', '{ok}', null)))", "trips_multirange")]


def sides(server, majors):
    old, new = (server(major, name) for major, name in zip(majors, ("old", "new")))
    old.sql(TYPES)
    new.sql(SHUFFLED + "create type one_more as (z gone2);" + TYPES)
    assert shift.load_types(old, new, "postgres") is False
    return old, new


@pytest.fixture(autouse=True)
def _forget():
    yield
    shift.forget_types()


def described(body, head):
    """The numbers of a ParameterDescription ("t") or RowDescription ("T")."""
    (count,) = struct.unpack("!H", body[:2])
    if head == "t":
        return list(struct.unpack(f"!{count}I", body[2:]))
    at, oids = 2, []
    for _ in range(count):
        at = body.index(b"\0", at) + 1
        oids.append(struct.unpack("!IHI", body[at:at + 10])[2])
        at += 18
    return oids


def remap(message, side, **words):
    """A whole message with its body mapped."""
    return message[:5] + shift.mapped(message[:1], message[5:], side, **words)


@pytest.mark.parametrize("majors", [(13, 17), (10, 13), (17, 18)])
def test_values_come_back_as_they_were(server, majors):
    old, new = sides(server, majors)
    changed = 0
    values = VALUES + (NEWER if min(majors) >= 11 else []) + (NEWEST if min(majors) >= 14 else [])
    with Raw(old.port, client_encoding="UTF8") as a, Raw(new.port, client_encoding="UTF8") as b:
        for value, kind in values:
            oid = int(a.sql(f"select '{kind}'::regtype::oid")[0][0])
            got = a.send(rawpg.parse("", f"select ({value})::{kind}"), rawpg.describe(""), rawpg.bind("", results=(1,)), rawpg.execute(), rawpg.sync())
            row = next(body for k, body in got if k == b"D")
            column = described(next(body for k, body in got if k == b"T"), "T")
            data = rawpg.columns(row)[0]
            parse = remap(rawpg.parse("", f"select $1::{kind}", (oid,)), SOURCE)
            bind = remap(rawpg.bind("", [data], (1,), (1,)), SOURCE, types=[oid])
            changed += bind != rawpg.bind("", [data], (1,), (1,))
            back = b.send(parse, rawpg.describe(""), bind, rawpg.execute(), rawpg.sync())
            answer = {k: body for k, body in back if k in (b"t", b"T", b"D")}
            theirs = described(answer[b"T"], "T")
            assert described(shift.mapped(b"t", answer[b"t"], TARGET), "t") == [oid], kind
            assert described(shift.mapped(b"T", answer[b"T"], TARGET), "T") == column, kind
            assert shift.mapped(b"D", answer[b"D"], TARGET, types=theirs, formats=[1]) == row, (kind, value)
            text = b.rows(parse, bind[:-2] + b"\0\0", rawpg.execute(), rawpg.sync())   # and it is the value it was
            assert text == a.rows(rawpg.parse("", f"select ({value})::{kind}"), rawpg.bind(""), rawpg.execute(), rawpg.sync()), (kind, value)
    assert changed >= 12


def test_an_anonymous_record_and_rows_of_tables(server):
    old, new = sides(server, (13, 17))
    sql = "select s, row(s.m, array[s.m], 1, null), s.m, array(select row(m, id) from seat) from seat s"
    rows = []
    for s in (old, new):
        s.sql("insert into seat values (1, 'ok', row(3, 'sad', '{ok,sad}', 'ä'))")
        with Raw(s.port, client_encoding="UTF8") as raw:
            got = {k: body for k, body in raw.send(rawpg.parse("", sql), rawpg.describe(""), rawpg.bind("", results=(1,)), rawpg.execute(), rawpg.sync())}
            rows.append((got[b"T"], got[b"D"]))
    (source_head, source_row), (head, row) = rows
    assert source_row != row
    assert shift.mapped(b"D", row, TARGET, types=described(head, "T"), formats=[1] * 4) == source_row
    mapped = shift.mapped(b"T", head, TARGET)
    assert described(mapped, "T") == described(source_head, "T")
    old_table = old.one("select 'seat'::regclass::oid")
    new_table = new.one("select 'seat'::regclass::oid")
    assert struct.pack("!I", new_table) in head and struct.pack("!IH", old_table, 2) in source_head and struct.pack("!I", new_table) not in mapped


def test_prepared_statements_of_other_types(server):
    """The rebuilding names the target's types; what the target has not makes the session unmovable, by name."""
    old, new = sides(server, (13, 17))
    mood, array = (old.one(f"select '{t}'::regtype::oid::int") for t in ("mood", "mood[]"))
    with Raw(old.port) as session, Raw(new.port) as fresh:
        unnamed = rawpg.parse("", "select $1", (mood,))
        session.send(rawpg.parse("s", "select $1, $2", (mood, array)), unnamed, rawpg.sync())
        session.sql("prepare q(mood) as select $1")
        session.send(unnamed, rawpg.sync())
        before = shift.ask(session)
        fresh.send(shift.rebuild(before, "postgres", unnamed[5:]))
        assert shift.differs(before, shift.ask(fresh)) is None
        assert fresh.rows(rawpg.bind("s", [b"ok", b"{sad}"]), rawpg.execute(), rawpg.sync()) == [[b"ok", b"{sad}"]]
        assert fresh.rows(rawpg.bind("", [b"happy"]), rawpg.execute(), rawpg.sync()) == [[b"happy"]]
        assert fresh.sql("execute q('sad')") == [["sad"]]
        # And without the map the server says what SWITCH.md says it does.
        shift.forget_types()
        with Raw(new.port) as other, pytest.raises(rawpg.Refused, match="type|42704|XX000|22"):
            other.send(shift.rebuild(before, "postgres"), rawpg.bind("s", [b"ok", b"{sad}"]), rawpg.execute(), rawpg.sync())
            other.ready()


def test_a_type_that_is_not_there_is_named(server):
    old, new = server(13, "old"), server(17, "new")
    old.sql("create type only_here as enum ('a'); create type twofold as enum ('a')")
    new.sql("create type spare as enum ('a'); create type twofold as (a int)")
    assert shift.load_types(old, new, "postgres") is False
    for name, why in (("only_here", "public.only_here is not on the target"), ("only_here[]", r"public.only_here\[\]"), ("twofold", "public.twofold .*another kind")):
        oid = old.one(f"select '{name}'::regtype::oid::int")
        with pytest.raises(shift.Unmovable, match=why):
            shift.mapped(b"P", rawpg.parse("", "select $1", (23, oid))[5:], SOURCE)
    with Raw(old.port) as session:
        session.send(rawpg.parse("s", "select $1::only_here"), rawpg.sync())
        with pytest.raises(shift.Unmovable, match='statement "s".*public.only_here'):
            shift.rebuild(shift.ask(session), "postgres")


def test_the_same_numbers_need_no_map(server):
    old, new = server(13, "old"), server(13, "new")
    for s in (old, new):
        s.sql(TYPES)
    assert shift.load_types(old, new, "postgres") is True
