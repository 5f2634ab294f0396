"""All that stands around the rows is on the target as on the source: pg_dump and pg_dumpall, of one version, say the same of both."""
import re
import subprocess

import psycopg2
import pytest

from servers import bin_dir
from wait import wait_for

ROLES = """
create role owner; create role "App User" login password 'app-secret' connection limit 7 valid until '2099-01-01'; create role reader; create role auditor nologin createdb;
grant owner to "App User" with admin option; grant reader to "App User"; grant reader to auditor; comment on role reader is 'reads';
alter role "App User" set work_mem = '7MB'; alter role reader in database shop set statement_timeout = '5s'; alter database shop set timezone = 'Asia/Tokyo';
alter database shop owner to owner; comment on database shop is 'what we sell'; grant connect on database shop to auditor;
"""

SCHEMA = """
create schema "Odd Names"; create schema sales authorization owner; grant usage on schema sales to reader; comment on schema sales is 'it''s sold here';
create extension hstore schema sales; create extension citext; create extension pg_trgm;
set search_path = sales, public;
create type mood as enum ('sad', 'it''s ok', 'ü'); create domain positive as int constraint above check (value > 0) default 1 not null; comment on domain positive is 'd';
create type pair as (a int, "b c" text); create type span as range (subtype = float8);
create collation german (locale = 'de-DE-x-icu', provider = icu);
create function half(int) returns int language sql immutable as 'select $1 / 2'; create procedure p() language sql as 'select 1';
create function trig() returns trigger language plpgsql as 'begin return new; end'; create aggregate summed (int) (sfunc = int4pl, stype = int, initcond = '0');
create operator === (leftarg = int, rightarg = int, procedure = int4eq);
create text search configuration plain (copy = simple);
create sequence counter as int increment -3 minvalue -1000 maxvalue 10 start 4 cache 5 cycle; create sequence loose;
create table item (id bigint generated always as identity (start 7 increment 3) primary key, name text collate german not null default 'x' check (name <> ''), price numeric(10,2),
    twice numeric generated always as (price * 2) stored, tags sales.hstore, m mood, p positive, pp pair[], s span, c public.citext, created timestamptz default now());
alter table item alter name set storage external, alter price set statistics 500, alter price set (n_distinct = 5);
alter table item cluster on item_pkey; alter table item set (fillfactor = 80, autovacuum_enabled = false);
comment on table item is 'goods'; comment on column item.price is 'net'; comment on constraint item_pkey on item is 'k';
create table line (id serial primary key, item bigint references item on delete cascade deferrable initially deferred, n int, during tstzrange, exclude using gist (during with &&));
alter table line add constraint later check (n > 0) not valid; alter table line add constraint unchecked foreign key (n) references line (id) not valid;
create table "Odd Names"."Ta""ble é" ("Col umn" int primary key, "ünïcödé" text, "select" int unique);
create table "Odd Names".abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk (id int);
create table nothing (); create unlogged table fleeting (id int primary key);
create table parent (id int, x text); create table child (y int) inherits (parent);
create table measured (day date not null, place text, v int) partition by range (day);
create table measured_1 partition of measured for values from ('2024-01-01') to ('2025-01-01');
create table measured_2 partition of measured for values from ('2025-01-01') to (maxvalue) partition by list (place);
create table measured_2a partition of measured_2 for values in ('a', null); create table measured_2x partition of measured_2 default;
create table hashed (id int primary key) partition by hash (id);
create table hashed_0 partition of hashed for values with (modulus 2, remainder 0); create table hashed_1 partition of hashed for values with (modulus 2, remainder 1);
create index on measured (v); create index part on item (price) where price > 10; create index expr on item (lower(name) desc nulls last); create unique index cover on item (id) include (price);
create index trgm on item using gin (name public.gin_trgm_ops); create statistics st (dependencies, ndistinct) on price, m from item;
create view cheap as select * from item where price < 10 with check option; create view over_cheap with (security_barrier) as select id from cheap;
create materialized view totals as select count(*) as n from item; create unique index on totals (n); create materialized view empty as select 1 as x with no data;
create rule no_delete as on delete to "Odd Names"."Ta""ble é" do instead nothing;
create trigger a before insert on item for each row execute function trig(); create trigger b after update of price on item for each row when (old.price is distinct from new.price) execute function trig();
create constraint trigger c after insert on line deferrable initially deferred for each row execute function trig();
alter table item disable trigger a;
alter table item enable row level security; alter table line enable row level security; alter table line force row level security;
create policy mine on item for select to reader using (price < 5); create policy theirs on line as restrictive for all using (n > 0) with check (n > 1);
grant select, insert on item to reader with grant option; grant update (price, name) on item to auditor; grant usage on sequence loose to reader; grant execute on function half(int) to reader;
revoke execute on function half(int) from public; alter default privileges for role owner in schema sales grant select on tables to reader;
alter table item owner to owner; alter sequence loose owner to owner; alter function half(int) owner to owner; alter type mood owner to owner; alter view cheap owner to owner;
create publication theirs for table line; create foreign data wrapper none; create server far foreign data wrapper none; create user mapping for reader server far options (password 'x');
create foreign table abroad (id int) server far;
create function no_drop() returns event_trigger language plpgsql as 'begin end'; create event trigger watch on sql_drop execute function no_drop(); alter event trigger watch disable;
insert into item (name, price) select 'n' || g, g from generate_series(1, 50) g; insert into line (item, n) select 7, 1 from generate_series(1, 10);
insert into measured select '2024-06-01'::date + g, case when g % 2 = 0 then 'a' else 'z' end, g from generate_series(1, 400) g; insert into hashed select generate_series(1, 20);
insert into nothing default values; insert into fleeting values (1), (2); insert into child values (1, 'x', 2); refresh materialized view totals;
select setval('counter', -500), setval('loose', 77);
"""


def statements(server, *command):
    """What a dump says, a statement each, sorted; without what is leat's, and without what differs from dump to dump."""
    text = subprocess.run([str(bin_dir(15) / command[0]), *command[1:]], env={"PGHOST": str(server.socket_dir), "PGPORT": str(server.port), "PGUSER": "postgres", "PGDATABASE": "shop"},
                          text=True, capture_output=True, check=True).stdout
    text = re.sub(r"^(--.*|\\\\?(un)?restrict .*|\\\\connect .*)$", "", text, flags=re.M)
    text = re.sub(r",\s+multirange_type_name = [\w.]+", "", text)   # from 14 on
    found = re.split(r";\n", text)
    return sorted(s for s in (x.strip() for x in found) if s and not re.match(r"SET |SELECT pg_catalog.set_config|CREATE DATABASE|(CREATE|ALTER|COMMENT ON|GRANT|REVOKE).{0,60}\bleat(_|\b)", s, flags=re.S))


def differ(one, two):
    return [f"- {x}" for x in one if x not in two] + [f"+ {x}" for x in two if x not in one]


@pytest.mark.trap("P16", "P21", "P22")
@pytest.mark.parametrize("source,target", [(13, 15)])
def test_everything_is_carried(server, migration, source, target):
    old, new = server(source, "old", auth="scram"), server(target, "new", auth="scram")
    dsn, other = old.createdb("shop"), new.createdb("shop")
    old.sql(ROLES)
    old.sql(SCHEMA, db="shop")
    doctor = migration({"shop": (dsn, other)}).run("doctor", check=False).json
    blockers = [x for x in doctor["findings"] if x["severity"] == "blocker"]
    assert not blockers, blockers
    leat = migration({"shop": (dsn, other)})
    leat.run("run", "--yes", "--until", "replicate")
    dump = ("pg_dump", "--schema-only", "--create", "--exclude-schema=leat")
    before, after = statements(old, *dump), statements(new, *dump)
    given = [s for s in before if "REPLICA IDENTITY" in s]   # the source's, by leat
    given.append("ALTER DATABASE shop OWNER TO owner")   # left as it is on the target, and noted
    after = [s for s in after if s != "ALTER DATABASE shop OWNER TO postgres"]
    assert not differ([s for s in before if s not in given], [s for s in after if s not in given]), "\\n".join(differ(before, after))
    before, after = ([s for s in statements(pg, "pg_dumpall", "--roles-only") if not s.startswith("ALTER ROLE postgres")] for pg in (old, new))   # it was there
    assert not differ(before, after), differ(before, after)
    # the password still opens, and sequences are ahead
    psycopg2.connect(f"host=127.0.0.1 port={new.port} dbname=shop user='App User' password=app-secret").close()
    assert new.one("select last_value from sales.loose", db="shop") >= 77
    assert new.one("select relispopulated from pg_class where relname = 'totals'", db="shop") and not new.one("select relispopulated from pg_class where relname = 'empty'", db="shop")
    assert new.one("select count(*) from sales.nothing", db="shop") == 1 and new.one("select count(*) from sales.fleeting", db="shop") == 2


@pytest.mark.trap("P12")
def test_hundreds_of_tables_and_sequences(server, migration):
    old, new = server(13, "old"), server(17, "new")
    dsn, other = old.createdb("shop"), new.createdb("shop")
    for n in range(0, 300, 50):
        old.sql("".join(f"create table t{i} (id serial primary key, x text); insert into t{i} (x) select 'x' from generate_series(1, 20); create sequence s{i} increment -2 maxvalue 1000;"
                        f" select nextval('s{i}'), nextval('s{i}');" for i in range(n, n + 50)), db="shop")
    leat = migration({"shop": (dsn, other)})
    leat.run("start", "--yes")
    leat.wait_status(lambda s: s["stores"][0].get("following"), 60, "following")
    old.sql("insert into t299 (x) values ('late')", db="shop")
    wait_for(lambda: new.one("select count(*) from t299 where x = 'late'", db="shop") == 1, 20, "the last row", show=leat.logs)
    assert new.one("select sum((xpath('/row/c/text()', query_to_xml('select count(*) as c from ' || relname, false, true, '')))[1]::text::int) from pg_class where relname ~ '^t[0-9]+$'", db="shop") == 6001
    values = "select sequencename, last_value from pg_sequences where last_value is not null"
    ahead, behind = dict(new.sql(values, db="shop")), []
    for name, value in old.sql(values, db="shop"):
        if name not in ahead or (ahead[name] < value if name.startswith("t") else ahead[name] > value):
            behind.append(name)
    assert len(ahead) == 600 and not behind, behind
