"""awkward — a schema of everything that migrations have tripped over, and random work on it.

    old.sql(awkward.schema(13), db="shop")
    dml = awkward.Dml(seed=3, major=13)
    awkward.fill(conn, dml, 200)                 # before the copy
    awkward.work(conn, dml, 300)                 # transactions during it

A table is a row of _tables(): its DDL, and which of its columns random statements may set, each with the kind of value.
VALUES holds the awkward literals of each kind as SQL text; statements choose among them and some made-up ones. All
choices come from the seed. Rows are picked by ctid, so that exactly one is touched even where there is no key.
"""
import dataclasses
import random

import psycopg2

SCHEMA = "Awk ward"          # quoted, mixed case, with a space: every table of it needs quoting
LONG = "ä" * 31 + "x"        # 63 bytes, the longest name there is

EXTENSIONS = ("hstore", "citext", "ltree", "btree_gist")


def quote(text):
    """A literal that means the same whatever standard_conforming_strings says."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


_TEXTS = ["", "\\N", "\\.", "NULL", "null", " ", "\t", "\n", "\r\n", "a\tb\\tc", "\\\\", "'", '"', "{}", "(,)", "\\x41", "\x01\x7f",
          "ß", "😀", "e\u0301", "\u202eabc", "İI", "%s $1 ?", "x" * 3000]

VALUES = {
    "int2": ["-32768", "32767", "0"],
    "int4": ["-2147483648", "2147483647", "0"],
    "int8": ["'-9223372036854775808'::int8", "9223372036854775807", "0"],
    "float4": ["'NaN'", "'-0'", "'Infinity'", "'-Infinity'", "1.1754944e-38", "3.4028235e38", "0.1", "1e-45"],
    "float8": ["'NaN'", "'-0'", "'Infinity'", "'-Infinity'", "'4.9406564584124654e-324'", "1.7976931348623157e308", "0.1", "1/3.0"],
    "numeric": ["'NaN'", "0", "0.000", "1.10", "1.1000", "-0.00", "1e1000", "1e-1000", "-12345678901234567890.123456789",
                "repeat('9', 131072)::numeric", "('0.' || repeat('1', 16383))::numeric"],
    "numeric(10,3)": ["0", "1.5", "-9999999.999", "'NaN'"],
    "money": ["'-92233720368547758.08'", "'92233720368547758.07'", "0", "'0.01'"],
    "bool": ["true", "false"],
    "text": [quote(t) for t in _TEXTS],
    "varchar(5)": ["''", "'abcde'", "'äöüßé'", "'  '"],
    "char(10)": ["''", "'a'", "'a         '", "'äöü'"],
    '"char"': ["''", "'a'", "'\\'", "' '"],
    "name": ["''", "'abc'", f"'{LONG}'"],
    "bytea": ["'\\x'", "'\\x00'", "'\\x00ff5c4e0a'", "decode(repeat('00ff', 4000), 'hex')"],
    "date": ["'infinity'", "'-infinity'", "'4713-01-01 BC'", "'5874897-12-31'", "'0001-12-31 BC'", "'2000-02-29'"],
    "time": ["'24:00:00'", "'00:00:00'", "'23:59:59.999999'"],
    "timetz": ["'24:00:00-15:59'", "'00:00+15:59'", "'12:00:00.000001+05:30'"],
    "timestamp": ["'infinity'", "'-infinity'", "'4713-01-01 00:00:00 BC'", "'294276-12-31 23:59:59.999999'", "'2000-01-01 00:00:00.1'"],
    "timestamptz": ["'infinity'", "'-infinity'", "'4713-01-01 00:00:00+00 BC'", "'294276-12-31 23:59:59.999999+00'",
                    "'1883-11-18 12:00:00 America/New_York'", "'2021-10-31 02:30:00 Europe/Berlin'"],
    "interval": ["'-178000000 years'", "'178000000 years'", "'1 mon -1 day +00:00:00.000001'", "'0'", "'-1 year +1 day -00:00:01'", "'1000000 hours'"],
    "uuid": ["'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"],
    "json": ["""'{"a":1, "a" : 2,  "b":[1,null,"\\u0000"]}'""", "'  null '", "'\"x\"'", "'1e400'"],
    "jsonb": ["""'{"b":[1,null,{"c":"\\u00e4"}],"a":1.10}'""", "'null'", "'[]'", "'1e400'", "'\"\"'"],
    "xml": ["'<a b=\"1\">t&amp;</a>'", "'text only'", "'<a/><b/>'", "''"],
    "tsvector": ["'a:1A fat:2B,4C cat:5'", "''", "'''it''''s'':3'"],
    "tsquery": ["'a & (b | !c)'", "'a <2> b'", "''"],
    "inet": ["'::1/128'", "'10.0.0.1/8'", "'0.0.0.0/0'", "'::ffff:1.2.3.4'"],
    "cidr": ["'10.0.0.0/8'", "'::/0'", "'2001:db8::/32'"],
    "macaddr": ["'08:00:2b:01:02:03'", "'ff:ff:ff:ff:ff:ff'"],
    "macaddr8": ["'08:00:2b:01:02:03:04:05'"],
    "bit(8)": ["B'10101010'", "B'00000000'"],
    "varbit": ["B''", "B'1'", "B'101010101'"],
    "point": ["'(1,2)'", "'(NaN,-0)'", "'(Infinity,1e-300)'"],
    "line": ["'{1,2,3}'", "'{0,-1,0.1}'"],
    "lseg": ["'[(0,0),(1,1)]'"],
    "box": ["'(1,1),(0,0)'"],
    "path": ["'[(0,0),(1,1),(2,0)]'", "'((0,0),(1,1),(2,0))'"],
    "polygon": ["'((0,0),(1,1),(2,0))'"],
    "circle": ["'<(0.1,0),3.3333333333333335>'"],
    "oid": ["0", "4294967295"],
    "xid": ["'4294967295'", "'3'"],
    "regclass": ["'pg_class'", f"""'"{SCHEMA}".all_types'""", "'-'"],
    "regtype": ["'int4'", f"""'"{SCHEMA}".mood'"""],
    "regproc": ["'now'"],
    "pg_lsn": ["'FFFFFFFF/FFFFFFFF'", "'0/0'", "'16/B374D848'"],
    "txid_snapshot": ["'10:20:10,14,15'"],
    "int2vector": ["'1 -2 3'", "''"],
    "oidvector": ["'1 2 3'"],
    "int4[]": ["'{}'", "'{NULL,1}'", "'[-2:0]={1,2,3}'", "'{{1,2},{3,NULL}}'", "'[0:1][5:6]={{1,2},{3,4}}'"],
    "text[]": ["""'{"a,b","c\\"d","\\\\\\\\",NULL,"NULL",""}'""", "'{}'", "array[[E'\\n', '{}'], ['ä', ' ']]"],
    "date[]": ["'{infinity,-infinity,2000-01-01,NULL}'"],
    "bytea[]": ["array['\\x00'::bytea, null, '\\x']"],
    "int4range": ["'empty'", "'(,)'", "'[1,5)'", "'(,3]'"],
    "numrange": ["'[1.10,2.0)'", "'empty'"],
    "tstzrange": ["'[-infinity,infinity]'", "'[2020-01-01 00:00+00,)'"],
    "daterange[]": ["""'{"[2020-01-01,2020-02-01)",empty,NULL}'"""],
    "hstore": ["""'a=>1, "b c"=>NULL, ""=>"\\"", "NULL"=>"NULL"'""", "''"],
    "citext": ["'MiXeD'", "'ÄÖ'", "''"],
    "ltree": ["'Top.Science.Astronomy'", "''"],
    "mood": ["'sad'", "'it''s'", "''", "'ü x'"],
    "mood[]": ["""array['sad', '']::"Awk ward".mood[]""", "'{}'"],
    "positive": ["1", "2147483647"],
    "short_list": ["'{1,2}'", "'{}'"],
    "pair": ["row(1, 'a')", "row(null, null)", """row(-1, E'","\\\\ ()')""", "row(null, '')"],
    "pair[]": ["""array[row(1, 'x,"y'), null, row(null, null)]::"Awk ward".pair[]"""],
    "nested": ["""row(row(1, 'a'), '{1,2}', 'sad')""", "row(null, null, null)"],
    "floatrange": ["'[-Infinity,NaN)'", "'[0.1,0.2]'", "'empty'"],
    "jsonpath": ["'$.a[*] ? (@ > 1)'"],
    "pg_snapshot": ["'10:20:10,14,15'"],
    "int4multirange": ["'{}'", "'{[1,2),[5,9)}'", "'{(,)}'"],
    "tstzmultirange": ["'{[2020-01-01 00:00+00,2020-01-02 00:00+00)}'"],
    "numeric infinity": ["'Infinity'", "'-Infinity'"],
}
SINCE = {"jsonpath": 12, "pg_snapshot": 13, "int4multirange": 14, "tstzmultirange": 14, "numeric infinity": 14}
OWN_TYPES = {"mood", "mood[]", "positive", "short_list", "pair", "pair[]", "nested", "floatrange"}

MADE_UP = {
    "int2": lambda r: r.randint(-32768, 32767),
    "int4": lambda r: r.randint(-2**31, 2**31 - 1),
    "position": lambda r: r.randint(-2**31, 2**31 - 1),
    "small": lambda r: r.randint(0, 50),
    "int8": lambda r: f"'{r.randint(-2**63, 2**63 - 1)}'::int8",
    "float4": lambda r: repr(r.uniform(-1e10, 1e10)),
    "float8": lambda r: repr(r.uniform(-1, 1) * 10.0 ** r.randint(-200, 200)),
    "numeric": lambda r: f"{r.randint(-10**30, 10**30)}e{r.randint(-40, 40)}",
    "text": lambda r: quote("".join(chr(r.choice((r.randint(1, 126), r.randint(160, 0x2000), r.randint(0x1F300, 0x1F600))))
                                    for _ in range(r.randint(0, 40)))),
    "bytea": lambda r: f"'\\x{r.getrandbits(8 * 20):040x}'",
    "timestamptz": lambda r: f"to_timestamp({r.randint(-10**11, 10**11)}.{r.randint(0, 999999):06d})",
    "timestamp": lambda r: f"timestamp '2000-01-01' + interval '{r.uniform(-10**9, 10**9):.6f} seconds'",
    "day": lambda r: f"date '2024-01-01' + {r.randint(0, 400)}",
    "fresh": lambda r: f"md5('{r.random()}')::uuid",
    "uuid": lambda r: f"md5('{r.random()}')::uuid",
    # random, so that it does not compress: stored out of line
    "large": lambda r: f"(select string_agg(md5('{r.random()}' || i), '') from generate_series(1, {r.choice((100, 300, 1000))}) i)",
    "large bytea": lambda r: f"(select decode(string_agg(md5('{r.random()}' || i), ''), 'hex') from generate_series(1, 1500) i)",
    "slot": lambda r: f"tsrange(timestamp '2024-01-01' + interval '1 hour' * {(h := r.randint(0, 5000))}, "
                      f"timestamp '2024-01-01' + interval '1 hour' * {h + r.randint(1, 3)})",
}


@dataclasses.dataclass
class Table:
    name: str                 # as SQL wants it, without the schema
    ddl: str
    columns: dict             # column, as SQL wants it → kind of value; what statements set
    key: dict = dataclasses.field(default_factory=dict)   # columns of the key that may be updated
    acts: str = "iiiuud"      # i(nsert) u(pdate) d(elete): how often each
    since: int = 10
    partitioned: bool = False
    truncate: str = ""        # tail of a TRUNCATE naming it


def types(major):
    return [k for k in VALUES if SINCE.get(k, 10) <= major]


def _type_sql(kind):
    kind = {"numeric infinity": "numeric"}.get(kind, kind)
    return f'"{SCHEMA}".{kind}' if kind in OWN_TYPES else f"public.{kind}" if kind in ("hstore", "citext", "ltree") else kind


def schema(major, extensions=True):
    """DDL of it all, for a server of that major; a superuser runs it (for the extensions)."""
    parts = [f'create extension if not exists {e} with schema public;' for e in EXTENSIONS] if extensions else []
    parts.append(f"""
create schema "{SCHEMA}";
set search_path = "{SCHEMA}", public;
create type mood as enum ('sad', 'it''s', '', 'ü x');
create domain positive as int check (value > 0);
create domain short_list as int[] check (coalesce(array_length(value, 1), 0) < 5);
create type pair as (a int, "b c" text);
create type nested as (p pair, l int[], m mood);
create type floatrange as range (subtype = float8);
""")
    parts += [t.ddl for t in _tables(major)]
    parts.append(_SEQUENCES)
    parts.append("reset search_path;\n")
    return "\n".join(parts)


_SEQUENCES = """
create sequence loose;                                                       -- owned by nobody
create table uses_loose (id bigint primary key default nextval('loose'), x int);
create sequence down increment -3 minvalue -1000000 maxvalue -1 start -5;
create sequence round_and_round minvalue 1 maxvalue 7 cycle;
create sequence "Cached Seq" cache 50;
create sequence at_the_end start 9223372036854775800;
create sequence untouched start 42;
create view seen as select count(*) from all_types;
"""


def _tables(major):
    kinds = types(major)
    return [t for t in (*_typed_tables(kinds), *_constrained_tables(major), *_named_tables(), *_keyless_tables(),
                        *_divided_tables(major)) if t.since <= major]


def tables(major):
    return _tables(major)


def _typed_tables(kinds):
    columns = {f"c{n}": k for n, k in enumerate(kinds)}
    ddl = ",\n  ".join(f"{c} {_type_sql(k)}" for c, k in columns.items())
    yield Table("all_types", f"create table all_types (id serial primary key,\n  {ddl});", columns, acts="iiiuuuud")
    yield Table("toasted", """create table toasted (id serial primary key, n int, a text, b bytea, c text);
alter table toasted alter c set storage external;""", {"n": "int4", "a": "large", "b": "large bytea", "c": "large"}, acts="iuuuuud")
    wide = {f"w{n}": "bool" for n in range(1, 1600)}
    yield Table("wide", "create table wide (id int generated by default as identity primary key, " +
                ", ".join(f"{w} boolean" for w in wide) + ");", {w: "bool" for w in list(wide)[::40]}, acts="iuud")


def _constrained_tables(major):
    yield Table("always", "create table always (id bigint generated always as identity primary key, x text, "
                "n int generated by default as identity (start 100 increment 7));", {"x": "text"})
    yield Table("computed", """create table computed (a int, id int generated always as identity primary key,
  twice bigint generated always as (a::bigint * 2) stored, t text, u text generated always as (upper(t)) stored);""",
                {"a": "int4", "t": "text"}, since=12)
    yield Table("deferred", "create table deferred (id serial primary key, pos int not null unique deferrable initially deferred, x text);",
                {"pos": "position", "x": "text"})
    yield Table("excluded", """create table excluded (room int, during tsrange, x text, primary key (room, during),
  exclude using gist (room with =, during with &&));""", {"room": "small", "during": "slot", "x": "text"}, key={"during": "slot"})
    yield Table("by_index", """create table by_index (a text not null, b uuid not null, c text, big text);
create unique index by_index_b on by_index (b); alter table by_index replica identity using index by_index_b;""",
                {"a": "text", "b": "fresh", "c": "text", "big": "large"}, key={"b": "fresh"})
    yield Table("odd_keys", "create table odd_keys (x int, t text, c public.citext, n numeric, primary key (n, t, c), y timestamptz);",
                {"x": "int4", "t": "text", "c": "citext", "n": "numeric", "y": "timestamptz"}, key={"t": "text", "n": "numeric"})
    yield Table("parent", "create table parent (id serial primary key, x text);", {"x": "text"}, acts="iiiud",
                truncate=f'"{SCHEMA}".parent, "{SCHEMA}".deferred restart identity cascade')
    yield Table("child", """create table child (id serial primary key, parent int references parent on delete cascade on update cascade, x text);
create table audit (id bigserial primary key, at timestamptz default clock_timestamp(), act text, row_id int);
create function note() returns trigger language plpgsql as
  $$begin
    if tg_op = 'DELETE' then insert into "Awk ward".audit (act, row_id) values (tg_op, old.id);
    else insert into "Awk ward".audit (act, row_id) values (tg_op, new.id); end if;
    return null;
  end$$;
create trigger noted after insert or update or delete on child for each row execute procedure note();""", {"x": "text"})


def _named_tables():
    long = f'"{LONG}"'
    yield Table(long, f'create table {long} ({long} serial primary key, "select" text, "a""b" int, "tab\there" text, "%s $1 \\" text, "ÄÖ" text);',
                {'"select"': "text", '"a""b"': "int4", '"tab\there"': "text", '"%s $1 \\"': "text", '"ÄÖ"': "text"})
    yield Table("dropped", """create table dropped (gone1 int, id serial primary key, gone2 text not null default 'x', keep text, gone3 int);
insert into dropped (keep) values ('before');
alter table dropped drop gone1, drop gone2; alter table dropped add later int default 7; alter table dropped drop gone3;""",
                {"keep": "text", "later": "int4"})


def _keyless_tables():
    yield Table("nothing", "create table nothing ();", {}, acts="i")
    yield Table("doubles", "create table doubles (a int, j json, p point, x xml, t text, big text); alter table doubles replica identity full;",
                {"a": "small", "j": "json", "p": "point", "x": "xml", "t": "text", "big": "large"}, acts="iidud")
    yield Table("keyless", "create table keyless (a int, t text, f float8);", {"a": "small", "t": "text", "f": "float8"}, acts="iiud")


def _divided_tables(major):
    if major >= 11:
        yield Table("parted", """create table parted (day date not null, id bigserial, x text, primary key (day, id)) partition by range (day);
create table parted_1 partition of parted for values from ('2024-01-01') to ('2024-07-01');
create table parted_2 partition of parted for values from ('2024-07-01') to ('2025-01-01') partition by hash (id);
create table parted_2a partition of parted_2 for values with (modulus 2, remainder 0);
create table parted_2b (x text, id bigint default 0 not null, day date not null);
alter table parted_2 attach partition parted_2b for values with (modulus 2, remainder 1);
create table parted_rest partition of parted default;""", {"day": "day", "x": "text"}, key={"day": "day"}, partitioned=True)
    else:
        yield Table("parted", """create table parted (day date not null, id bigserial, x text) partition by range (day);
create table parted_1 partition of parted (primary key (day, id)) for values from ('2024-01-01') to ('2024-07-01');
create table parted_2 partition of parted (primary key (day, id)) for values from ('2024-07-01') to ('2026-01-01');""",
                    {"day": "day", "x": "text"}, partitioned=True, acts="iid")
    yield Table("elder", "create table elder (id serial primary key, x text);", {"x": "text"})
    yield Table("heir", "create table heir (extra int, primary key (id)) inherits (elder);", {"x": "text", "extra": "int4"})


class Dml:
    """Random statements, from a seed. truncate: how often (per statement) a TRUNCATE; PostgreSQL 10 does not decode it."""

    def __init__(self, seed, major, truncate=0.001, leave_out=()):
        self.random, self.major = random.Random(seed), major
        self.truncate = truncate if major >= 11 else 0
        self.tables = [t for t in _tables(major) if t.name not in leave_out]

    def value(self, kind):
        r = self.random
        if kind != "small" and r.random() < 0.1 and kind not in ("slot", "day", "uuid", "fresh", "position"):
            return "null"
        if kind in MADE_UP and (kind not in VALUES or r.random() < 0.5):
            return MADE_UP[kind](r)
        return r.choice(VALUES[kind])

    def _not_null(self, table, column, kind):
        for _ in range(50):
            value = self.value(kind)
            if value != "null" or (table.name, column) not in _NOT_NULL:
                return value
        raise AssertionError("no value for " + column)

    def insert(self, table, many=1):
        name = f'"{SCHEMA}".{table.name}'
        columns = dict(table.columns)
        if table.name == "child":
            columns["parent"] = None
        if not columns:
            return f"insert into {name} default values"
        rows = ", ".join("(" + ", ".join(f'(select min(id) from "{SCHEMA}".parent)' if k is None else str(self._not_null(table, c, k))
                                         for c, k in columns.items()) + ")" for _ in range(many))
        return f"insert into {name} ({', '.join(columns)}) values {rows}"

    def _one_row(self, table):
        """A condition true of one row."""
        name, salt = f'"{SCHEMA}".{table.name}', self.random.getrandbits(32)
        if table.partitioned:
            return f"(tableoid, ctid) = (select tableoid, ctid from {name} order by md5(ctid::text || tableoid || {salt}) limit 1)"
        return f"ctid = (select ctid from only {name} order by md5(ctid::text || {salt}) limit 1)"

    def update(self, table):
        r = self.random
        columns = list({c: k for c, k in table.columns.items() if c not in table.key}.items()) or list(table.columns.items())
        chosen = r.sample(columns, r.randint(1, min(len(columns), 4)))
        if table.key and r.random() < 0.3:
            chosen.append(r.choice(list(table.key.items())))
        sets = ", ".join(f"{c} = {self._not_null(table, c, k)}" for c, k in chosen)
        only = "" if table.partitioned else "only "
        return f'update {only}"{SCHEMA}".{table.name} set {sets} where {self._one_row(table)}'

    def delete(self, table):
        only = "" if table.partitioned else "only "
        return f'delete from {only}"{SCHEMA}".{table.name} where {self._one_row(table)}'

    def special(self):
        """What a single random row change does not give."""
        r, s = self.random, f'"{SCHEMA}"'
        return r.choice((
            # positions exchanged, allowed by the deferred constraint; and every row at once
            f"update {s}.deferred a set pos = b.pos from {s}.deferred b where a.id + b.id = (select min(id) + max(id) from {s}.deferred) and a.id <> b.id",
            f"update {s}.always set id = default where {self._one_row(self._table('always'))}",
            f"update {s}.parent set id = id + 1000000 where {self._one_row(self._table('parent'))}",   # cascades to child
            f"update {s}.all_types set id = -id where {self._one_row(self._table('all_types'))}",
            f"update {s}.toasted set id = id + 1000000 where {self._one_row(self._table('toasted'))}",
            f"insert into {s}.doubles select * from (select * from {s}.doubles limit 3) x",            # true duplicates
            f"insert into {s}.uses_loose (x) select generate_series(1, {r.randint(1, 20)})",
            f"select nextval('{s}.down'), nextval('{s}.round_and_round'), nextval('{s}.\"Cached Seq\"'), nextval('{s}.loose')",
            f"update {s}.keyless set a = a + 1 where a < {r.randint(0, 20)}",
            f"update {s}.toasted set n = n where id % 3 = {r.randint(0, 2)}",                           # nothing changes
        ))

    def _table(self, name):
        return next(t for t in _tables(self.major) if t.name == name)

    def statement(self):
        r = self.random
        if r.random() < self.truncate:
            return f"truncate {r.choice([t.truncate for t in self.tables if t.truncate])}"
        if r.random() < 0.15:
            return self.special()
        table = r.choice(self.tables)
        act = r.choice(table.acts)
        return self.insert(table, r.choice((1, 1, 1, 5))) if act == "i" else self.update(table) if act == "u" else self.delete(table)

    def transaction(self):
        """Statements of one transaction, in order."""
        return [self.statement() for _ in range(self.random.choice((1, 1, 2, 3, 8)))]


# What random statements may run into: constraints, an index entry that is too large, a TRUNCATE behind pending triggers.
FORGIVEN = (psycopg2.IntegrityError, psycopg2.errors.ProgramLimitExceeded, psycopg2.errors.ObjectInUse)

_NOT_NULL = {("deferred", "pos"), ("excluded", "room"), ("excluded", "during"), ("by_index", "a"), ("by_index", "b"),
             ("odd_keys", "t"), ("odd_keys", "c"), ("odd_keys", "n"), ("parted", "day")}


def fill(conn, dml, rows=50):
    """About `rows` rows in every table, one transaction a table."""
    for table in dml.tables:
        for _ in range(max(1, rows // 5)):
            _try(conn, dml.insert(table, 5 if table.columns else 1))
        conn.commit()


def work(conn, dml, transactions, stop=None, pause=0):
    """Runs random transactions; gives how many committed. Statements stand under savepoints now and then, and some
    transactions are rolled back. stop: a threading.Event that ends it early. pause: seconds between two."""
    committed = 0
    for _ in range(transactions):
        if stop is not None and stop.is_set():
            break
        committed += _transaction(conn, dml)
        if pause:
            stop.wait(pause)
    return committed


def _transaction(conn, dml):
    under_savepoints, give_up = dml.random.random() < 0.5, dml.random.random() < 0.08
    try:
        for statement in dml.transaction():
            if under_savepoints:
                _try(conn, statement)
            else:
                _execute(conn, statement)
        if give_up:
            conn.rollback()
            return 0
        conn.commit()
        return 1
    except FORGIVEN:
        conn.rollback()
        return 0


def _execute(conn, statement):
    with conn.cursor() as cur:
        try:
            cur.execute(statement)
        except FORGIVEN:
            raise
        except psycopg2.Error as e:
            if conn.closed:
                raise psycopg2.OperationalError(f"{e}") from e
            raise AssertionError(f"{e}in {statement[:2000]}") from e


def _try(conn, statement):
    """A statement that may violate a constraint: then it is undone alone."""
    _execute(conn, "savepoint attempt")
    try:
        _execute(conn, statement)
    except FORGIVEN:
        _execute(conn, "rollback to savepoint attempt")
    _execute(conn, "release savepoint attempt")
