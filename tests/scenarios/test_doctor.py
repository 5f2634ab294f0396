"""doctor finds, before anything is touched, what would go wrong — and what it prints mends it.

doctor wants a pg_dump at least as new as the source, and Debian's is 15: for newer sources stand-ins say that they are 18."""
import contextlib

import psycopg2
import pytest

from servers import TREE
from wait import wait_for

PAIRS = [(10, 17), (13, 18), (15, 17), (17, 18)]


@pytest.fixture(autouse=True)
def client_tools(request, tmp_path, monkeypatch):
    """Stand-ins for pg_dump and pg_restore where the test's source is newer than Debian's."""
    majors = request.node.callspec.params.get("majors", (0,)) if hasattr(request.node, "callspec") else (0,)
    if majors[0] <= 15:
        return
    for name in ("pg_dump", "pg_restore"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 18.0'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("LEAT_PG_BINDIR", str(tmp_path))


def doctor(m, ok=None):
    """What doctor found; ok: whether it must be free of blockers."""
    result = m.run("doctor", check=False)
    answer = result.json
    assert result.status == (0 if answer["ok"] else 1), result
    assert answer["ok"] == (not [x for x in answer["findings"] if x["severity"] == "blocker"])
    if ok is not None:
        assert answer["ok"] is ok, [x for x in answer["findings"] if x["severity"] == "blocker"]
    return answer["findings"]


def found(findings, finding_id, name=None):
    """The findings of that id that are not ok; of that object if named."""
    return [x for x in findings if x["id"] == finding_id and x["severity"] != "ok" and name in (None, x["object"])]


def one(findings, finding_id, name=None):
    hits = found(findings, finding_id, name)
    assert len(hits) == 1, f"{finding_id} {name}: {hits} in {[(x['id'], x['object']) for x in findings if x['severity'] != 'ok']}"
    return hits[0]


def bad(findings):
    return sorted({(x["id"], x["object"]) for x in findings if x["severity"] in ("warning", "blocker")})


@pytest.mark.parametrize("majors", PAIRS)
def test_a_sound_pair_is_found_sound_and_left_as_it_was(server, migration, majors):
    old, new = server(majors[0], "old"), server(majors[1], "new")
    m = migration({"shop": (old.createdb("shop"), new.createdb("shop"))})
    old.sql("create table t (id serial primary key, a text); create table s (a int primary key references t)", db="shop")
    state = ("select (select count(*) from pg_class), (select count(*) from pg_publication), (select count(*) from pg_replication_slots),"
             " (select count(*) from pg_roles), (select count(*) from pg_namespace)")
    before = [pg.sql(state, db="shop") for pg in (old, new)]
    findings = doctor(m, ok=True)
    assert bad(findings) == []
    assert {x["id"] for x in findings if x["severity"] == "ok"} >= {"reachable", "version", "wal-level", "no-identity", "replica-role", "way-back"}
    assert f"PostgreSQL {majors[0]}" in [x for x in findings if x["id"] == "reachable" and x["object"] == "source"][0]["why"]
    assert [pg.sql(state, db="shop") for pg in (old, new)] == before


SCHEMA = """
create table nokey (a int, j json);
create table deferred (a int primary key deferrable);                              -- P34
create table uniq (a int not null, b int, constraint uniq_a unique (a));
create table nothing (a int primary key); alter table nothing replica identity nothing;
create table full_keyed (a int primary key); alter table full_keyed replica identity full;
create table trig (a int primary key);
create function f() returns trigger language plpgsql as 'begin return new; end';
create trigger always before insert on trig for each row execute procedure f(); alter table trig enable always trigger always;
create trigger rep before insert on trig for each row execute procedure f(); alter table trig enable replica trigger rep;
create trigger plain before insert on trig for each row execute procedure f();
create rule twice as on insert to trig do also select 1; alter table trig enable always rule twice;
create unlogged table fleeting (a int primary key);
create materialized view mv as select 1 as a;
create sequence tiny maxvalue 100; select setval('tiny', 95);
create sequence down increment -1 maxvalue 10 minvalue -10 start 10; select setval('down', -10);
create sequence young maxvalue 100; select setval('young', 90);
create sequence round_ cycle;
create table reg (id int primary key, c regclass);
create table parts (a int primary key) partition by range (a);
create table part1 partition of parts for values from (0) to (10);
create table outside (a int primary key);
create table inside (a int primary key references outside);
create table "Mixed ""Q" (a int);
create publication everything for all tables;
create publication part_of for table trig;
select lo_create(0);
create schema hidden; create table hidden.nokey (a int);
"""

# what stands in the schema → whose statement is carried out on the source, and must mend it
MENDED = [("no-identity", "public.nokey"), ("no-identity", "public.deferred"), ("no-identity", "public.uniq"), ("no-identity", "public.nothing"),
          ("no-identity", 'public.Mixed "Q'), ("identity-full", "public.full_keyed"), ("unlogged-table", "public.fleeting")]


@pytest.mark.trap("P6", "P9", "P12", "P16", "P21", "P34")
@pytest.mark.parametrize("majors", PAIRS)
def test_every_awkward_object_is_named_and_what_is_printed_mends_it(server, migration, majors):
    """P6, P9, P12, P16, P21, P28, P34."""
    old, new = server(majors[0], "old"), server(majors[1], "new")
    m = migration({"shop": (old.createdb("shop"), new.createdb("shop"))}, include=["public.*", "nosuch.*"])
    schema = SCHEMA if majors[0] >= 11 else SCHEMA.replace("create table parts (a int primary key)", "create table parts (a int not null)")
    old.sql(schema, db="shop")
    findings = doctor(m)
    for finding_id, name in MENDED:
        one(findings, finding_id, name)
    assert one(findings, "no-identity", "public.uniq")["fix"] == "ALTER TABLE public.uniq REPLICA IDENTITY USING INDEX uniq_a"
    assert one(findings, "no-identity", "public.nothing")["fix"].endswith("REPLICA IDENTITY DEFAULT")
    assert "DEFERRABLE" in one(findings, "no-identity", "public.deferred")["why"]
    assert "json" in one(findings, "identity-equality", "public.nokey")["why"]
    triggers = found(findings, "trigger-always")
    assert len(triggers) == 3 and all(x["severity"] == "blocker" for x in triggers) and not any("plain" in x["why"] for x in triggers)
    assert {x["object"] for x in found(findings, "sequence-end")} == {"public.tiny", "public.down"}
    assert one(findings, "sequence-cycle")["object"] == "public.round_"
    assert one(findings, "include-unmatched")["object"] == "nosuch.*"
    assert one(findings, "large-objects")["fix"].startswith("pg_dump ")
    assert [x["object"] for x in found(findings, "publication")] == ["part_of"]
    for finding_id, name in (("materialized-view", "public.mv"), ("type-reg", "public.reg"), ("partitioned", "public.parts"), ("publication-all", "everything")):
        one(findings, finding_id, name)
    assert not [x for x in findings if "hidden" in x["object"]], "a table that is not chosen is nobody's concern"
    assert bool(found(findings, "truncate-unseen")) == (majors[0] == 10)
    for x in triggers + [one(findings, *key) for key in MENDED]:
        old.sql(x["fix"], db="shop")
    after = doctor(m, ok=True)
    assert not found(after, "trigger-always") and not found(after, "unlogged-table") and not found(after, "no-identity", "public.nokey")
    assert [key for key in MENDED if found(after, *key)] == []


def test_a_foreign_key_to_a_table_left_behind_is_named(server, migration):
    old, new = server(13, "old"), server(17, "new")
    m = migration({"shop": (old.createdb("shop"), new.createdb("shop"))}, include=["public.inside"])
    old.sql("create table outside (a int primary key); create table inside (a int primary key references outside)", db="shop")
    assert "public.outside" in one(doctor(m, ok=True), "foreign-key-outside", "public.inside")["why"]


@pytest.mark.trap("P34")
def test_what_newer_servers_lack_is_named_before_the_publication_exists(server, migration):
    """P34: WITH OIDS, abstime and its family."""
    old, new = server(10, "old"), server(17, "new")
    m = migration({"shop": (old.createdb("shop"), new.createdb("shop"))})
    old.sql("create table o (a int primary key) with oids; create domain d as reltime;"
            " create table t (a int primary key, b abstime, c reltime, d tinterval, e d)", db="shop")
    old.sql("insert into t values (1, '2001-02-03 04:05:06+00', '1 day', '[\"2001-02-03\" \"2001-02-04\"]')", db="shop")
    findings = doctor(m, ok=False)
    gone = found(findings, "type-removed")
    assert len(gone) == 4 and {x["object"] for x in gone} == {"public.t"}
    one(findings, "with-oids", "public.o")
    for x in gone + found(findings, "with-oids"):
        old.sql(x["fix"], db="shop")
    after = doctor(m, ok=True)
    assert not found(after, "type-removed") and not found(after, "with-oids")
    assert old.one("select b = '2001-02-03 04:05:06+00'::timestamptz from t", db="shop")


@pytest.mark.trap("P11", "P22", "P27")
@pytest.mark.parametrize("majors", [(10, 13), pytest.param((13, 15), marks=pytest.mark.slow), pytest.param((15, 17), marks=pytest.mark.slow), (17, 18)])
def test_a_plain_role_is_told_every_right_it_lacks_and_the_statements_give_them(server, migration, majors):
    """P11, P22, P27: a role that has only LOGIN and REPLICATION, as on a managed service."""
    old, new = server(majors[0], "old"), server(majors[1], "new")
    old.createdb("shop"), new.createdb("shop")
    old.sql("create role leat login replication; create role app login; create role auditor")
    new.sql("create role leat login; revoke create on schema public from public", db="shop")
    old.sql("""create schema billing; grant create, usage on schema public to app;
               create table t (id serial primary key); create table billing.bill (id int primary key);
               create sequence billing.s; create table secret (a int primary key); alter table secret enable row level security;
               alter table t owner to app; alter table billing.bill owner to app; alter table secret owner to app;
               alter sequence billing.s owner to app; grant select on t to auditor; alter database shop set work_mem = '8MB';
               alter table secret force row level security""", db="shop")
    m = migration({"shop": (old.dsn("shop", "leat"), new.dsn("shop", "leat"))})
    findings = doctor(m, ok=False)
    assert "3 chosen tables" in one(findings, "owner-right", "app")["why"]
    assert one(findings, "owner-right", "app")["fix"] == "GRANT app TO leat"
    assert {x["object"] for x in found(findings, "create-right")} == {"source", "target"}
    assert {x["fix"] for x in found(findings, "read-right")} >= {"GRANT USAGE ON SCHEMA billing TO leat", "GRANT SELECT ON TABLE public.t TO leat",
                                                                "GRANT SELECT ON SEQUENCE billing.s TO leat"}
    replica = one(findings, "replica-role")["fix"]
    assert replica.startswith("GRANT SET ON PARAMETER" if majors[1] >= 15 else "ALTER ROLE \"leat\" SUPERUSER")
    assert {x["object"] for x in found(findings, "roles")} == {"app", "auditor"}
    assert "row security" in one(findings, "row-security", "public.secret")["why"]
    for finding_id in ("sessions-hidden", "ddl-detection", "way-back", "target-owner"):
        one(findings, finding_id)
    for _ in range(4):  # some statements only make sense after others: a role has to be there before it can be granted
        for x in findings:
            if x["id"] in ("owner-right", "read-right", "sessions-hidden", "replication-right") or (x["id"] in ("create-right", "row-security") and x["object"] != "target"):
                _carry_out(old, x)
            elif x["id"] in ("create-right", "replica-role", "roles", "role-member", "target-owner", "row-security"):
                _carry_out(new, x)
        findings = doctor(m)
    doctor(m, ok=True)
    assert not found(findings, "owner-right") and not found(findings, "read-right") and not found(findings, "role-member")


def _carry_out(pg, finding):
    if finding["fix"] and finding["severity"] != "ok":
        pg.sql(finding["fix"], db="shop")


def test_without_replication_the_right_is_named(server, migration):
    old, new = server(13, "old"), server(15, "new")
    old.createdb("shop")
    old.sql("create role leat login")
    m = migration({"shop": (old.dsn("shop", "leat"), new.createdb("shop"))})
    fix = one(doctor(m, ok=False), "replication-right")["fix"]
    old.sql(fix)
    assert not found(doctor(m), "replication-right")
    old.sql("alter role leat connection limit 1")
    assert "CONNECTION LIMIT" in one(doctor(m), "connections", "source")["fix"]


def test_servers_that_do_not_answer_are_findings(server, migration):
    old, new = server(13, "old", auth="scram"), server(15, "new")
    old.sql("create table t (a int primary key)", db=old.createdb("shop").rsplit("/", 1)[1])
    new.createdb("shop")
    good = old.dsn("shop")

    def ids(source, target):
        return {(x["id"], x["object"]) for x in doctor(migration({"shop": (source, target)}), ok=False) if x["severity"] == "blocker"}
    assert ids(good.replace("postgres-secret", "wrong"), new.dsn("shop")) == {("auth", "source")}
    assert ids(old.dsn("nosuch"), new.dsn("shop")) == {("no-database", "source")}
    assert ids(good, new.dsn("shop", "nobody")) == {("auth", "target")}
    new.stop()
    assert ("target-unreachable", "target") in ids(good, new.dsn("shop"))
    both = doctor(migration({"shop": (old.dsn("nosuch"), new.dsn("shop"))}), ok=False)
    assert {x["id"] for x in both if x["severity"] == "blocker"} == {"no-database", "target-unreachable"}


def test_the_wrong_pair_is_refused(server, migration):
    old, new = server(13, "old"), server(15, "new")
    old.sql("create table t (a int primary key)", db=old.createdb("shop").rsplit("/", 1)[1])
    new.createdb("shop")
    one(doctor(migration({"shop": (new.dsn("shop"), old.dsn("shop"))}), ok=False), "version")
    same = old.socket_dsn("shop")
    one(doctor(migration({"shop": (old.dsn("shop"), same)}), ok=False), "same-server")
    beside = old.createdb("beside")
    findings = doctor(migration({"shop": (old.dsn("shop"), beside)}), ok=True)
    one(findings, "server-shared")
    twice = migration({"a": (old.dsn("shop"), new.dsn("shop")), "b": (beside, new.dsn("shop"))}).run("doctor", check=1).json
    assert twice["error"]["code"] == "config", twice   # the file itself is refused


@pytest.mark.trap("P20")
@pytest.mark.parametrize("major", (13, 15))
def test_a_standby_and_a_physical_copy_are_told_apart(server, migration, major):
    old, new = server(major, "old"), server(17, "new")
    old.sql("create table t (a int primary key)", db=old.createdb("shop").rsplit("/", 1)[1])
    standby = old.basebackup("standby")
    findings = doctor(migration({"shop": (standby.dsn("shop"), new.createdb("shop"))}), ok=False)
    one(findings, "standby", "source")
    one(doctor(migration({"shop": (old.dsn("shop"), standby.dsn("shop"))}), ok=False), "standby", "target")
    standby.promote()
    findings = doctor(migration({"shop": (old.dsn("shop"), standby.dsn("shop"))}), ok=False)
    one(findings, "server-copy")
    one(findings, "target-not-empty")


def test_the_log_of_the_source_is_looked_at(server, migration):
    old = server(13, "old", settings={"wal_level": "replica", "max_replication_slots": 1, "max_wal_senders": 0, "max_slot_wal_keep_size": "64MB",
                                      "wal_sender_timeout": "2s", "synchronous_standby_names": "", "max_prepared_transactions": 5})
    new = server(17, "new")
    m = migration({"shop": (old.createdb("shop"), new.createdb("shop"))})
    old.sql("create table t (a int primary key); select pg_create_physical_replication_slot('other')", db="shop")
    findings = doctor(m, ok=False)
    assert "ALTER SYSTEM SET wal_level = logical" in one(findings, "wal-level")["fix"]
    for finding_id in ("slots", "senders", "sender-timeout", "slot-limit"):
        one(findings, finding_id)
    old.sql("begin; insert into t values (1); prepare transaction 'a''b'", db="shop")
    assert one(doctor(m), "transaction-prepared")["fix"].startswith("ROLLBACK PREPARED 'a''b'")
    old.configure(wal_level="logical", max_replication_slots=10, max_wal_senders=10)
    for x in found(findings, "sender-timeout") + found(findings, "slot-limit"):
        for statement in x["fix"].split("; "):
            old.sql(statement)
    old.restart()
    old.sql(one(doctor(m), "transaction-prepared")["fix"].split(" -- ")[0], db="shop")
    assert bad(doctor(m, ok=True)) == []


def test_a_slot_of_our_name_is_noticed(server, migration):
    old, new = server(13, "old"), server(17, "new")
    m = migration({"shop": (old.createdb("shop"), new.createdb("shop"))}, migration="a-b")
    old.sql("create table t (a int primary key)", db="shop")
    old.sql("select pg_create_logical_replication_slot('leat_a_b_shop', 'pgoutput')", db="shop")
    left = one(doctor(m, ok=True), "slot-name")
    old.sql(left["fix"], db="shop")
    old.sql("select pg_create_physical_replication_slot('leat_a_b_shop')")
    assert one(doctor(m, ok=False), "slot-name")["severity"] == "blocker"


@pytest.mark.trap("P15")
def test_long_transactions_are_named(server, migration):
    """P15. A test does not wait a minute: doctor must not see a young transaction, and its query, asked for older than nothing, must."""
    old, new = server(13, "old"), server(17, "new")
    m = migration({"shop": (old.createdb("shop"), new.createdb("shop"))})
    old.sql("create table t (a int primary key)", db="shop")
    query = (TREE / "sql" / "examine_long_transactions.sql").read_text().replace("interval '1 minute'", "interval '0'")
    assert "interval '0'" in query
    with contextlib.closing(old.conn("shop")) as c, c.cursor() as cur:
        cur.execute("insert into t values (1)")
        pid = c.info.backend_pid
        assert not found(doctor(m), "transaction-long"), "it has been open for a moment only"
        seen = [row for row in old.sql(query.replace("%", "%%"), ()) if row[1] == f"pid {pid}"]
        assert len(seen) == 1 and "the slot is made only after it has ended" in seen[0][2]
        old.sql(seen[0][3])
        wait_for(lambda: not [row for row in old.sql(query.replace("%", "%%"), ()) if row[1] == f"pid {pid}"], 10, "its end")


def test_what_stands_on_the_target_is_seen(server, migration):
    old, new = server(13, "old"), server(17, "new")
    m = migration({"shop": (old.createdb("shop"), new.createdb("shop"))}, include=["public.*"])
    old.sql("create table t (a int primary key); create view v as select 1; create type mood as enum ('a'); create schema other; create table other.x (a int primary key)", db="shop")
    new.sql("create table strange (a int)", db="shop")
    assert one(doctor(m, ok=True), "target-shared")["severity"] == "note"
    new.sql("create schema other; create table other.x (a int)", db="shop")
    assert not found(doctor(m, ok=True), "target-not-empty"), "a table that is not chosen may be there"
    for make, drop in (("create table t (b text)", "drop table t"), ("create view v as select 2", "drop view v"), ("create type mood as enum ()", "drop type mood")):
        new.sql(make, db="shop")
        one(doctor(m, ok=False), "target-not-empty")
        new.sql(drop, db="shop")
    new.sql("create table t (a int); create schema leat; create table leat.lease (migration text, store text); insert into leat.lease values ('test', 'shop')", db="shop")
    assert not found(doctor(m, ok=True), "target-not-empty"), "what this migration made is its own"
    new.sql("update leat.lease set migration = 'another'", db="shop")
    one(doctor(m, ok=False), "target-not-empty")


@pytest.mark.trap("P18", "P19")
def test_collations_encodings_and_settings_are_compared(server, migration):
    """P18, P19."""
    old, new = server(13, "old"), server(17, "new")
    old.sql("create table t (a text primary key)", db=old.createdb("shop", "template template0 encoding 'LATIN1' locale 'C'").rsplit("/", 1)[1])
    new.createdb("shop", "template template0 locale 'C.UTF-8'")
    findings = doctor(migration({"shop": (old.dsn("shop"), new.dsn("shop"))}), ok=True)
    assert "LATIN1" in one(findings, "encoding")["why"] and one(findings, "encoding")["severity"] == "note"
    assert "LC_COLLATE 'C'" in one(findings, "collation")["fix"]
    new.sql(one(findings, "collation")["fix"].split(" -- ")[0].replace('"shop"', '"again"'))
    assert not found(doctor(migration({"shop": (old.dsn("shop"), new.dsn("again"))})), "collation")
    back = old.createdb("ascii", "template template0 encoding 'SQL_ASCII' locale 'C'")
    why = one(doctor(migration({"shop": (back, new.dsn("shop"))})), "encoding")["why"]
    assert "SQL_ASCII" in why and "the ledger" in why and "although" not in why
    same = new.createdb("ascii", "template template0 encoding 'SQL_ASCII' locale 'C'")
    assert "although the target is SQL_ASCII" in one(doctor(migration({"shop": (back, same)})), "encoding")["why"]
    old.sql("alter database shop set timezone = 'Asia/Tokyo'")
    new.sql("alter database shop set default_transaction_read_only = on")
    findings = doctor(migration({"shop": (old.dsn("shop"), new.dsn("shop"))}))
    assert "Asia/Tokyo" in one(findings, "setting", "TimeZone")["why"]
    c = new.conn("shop", autocommit=True)
    c.cursor().execute("set default_transaction_read_only = off")
    c.cursor().execute(one(findings, "read-only")["fix"])
    c.cursor().execute(one(findings, "setting", "TimeZone")["fix"])
    c.close()
    findings = doctor(migration({"shop": (old.dsn("shop"), new.dsn("shop"))}))
    assert not found(findings, "read-only") and not found(findings, "setting", "TimeZone")


def test_a_missing_extension_is_named_with_its_package(server, migration):
    old, new = server(15, "old"), server(17, "new")
    m = migration({"shop": (old.createdb("shop"), new.createdb("shop"))})
    old.sql("create table t (a int primary key)", db="shop")
    names = {x[0] for x in old.sql("select name from pg_available_extensions")} - {x[0] for x in new.sql("select name from pg_available_extensions")} - {"plpgsql"}
    if not names:
        pytest.skip("the newer server has every extension of the older one")
    made = []
    for name in sorted(names):
        with contextlib.suppress(psycopg2.Error):   # some need a language that is not here
            old.sql(f'create extension "{name}"', db="shop")
            made.append(name)
    if not made:
        pytest.skip(f"none of {names} can be made here")
    findings = doctor(m, ok=False)
    for name in made:   # what 17 has no more, no package brings
        assert ("DROP EXTENSION" if name in ("adminpack", "old_snapshot") else "apt-get") in one(findings, "extension", name)["fix"]


def test_a_tablespace_the_target_lacks_is_named(server, migration, tmp_path):
    old, new = server(13, "old"), server(17, "new")
    m = migration({"shop": (old.createdb("shop"), new.createdb("shop"))})
    folder = old.data / "ts"
    old.sql("copy (select 1) to program %s", (f"mkdir {folder}",))
    old.sql(f"create tablespace fast location '{folder}'")
    old.sql("create table t (a int primary key) tablespace fast", db="shop")
    assert one(doctor(m, ok=True), "tablespace", "fast")["fix"].startswith('CREATE TABLESPACE "fast" LOCATION')


def test_many_sequences_do_not_fill_the_lock_table(server, migration):
    """pg_sequences locks each sequence it is asked for, until the transaction ends."""
    old, new = server(13, "old", settings={"max_connections": 30, "max_locks_per_transaction": 10}), server(17, "new")
    m = migration({"shop": (old.createdb("shop"), new.createdb("shop"))})
    for start in range(0, 3000, 300):
        old.sql("do $$ begin for i in 1..300 loop execute format('create sequence s%s maxvalue 100', %s + i); end loop; end $$".replace("%s + i", f"{start} + i"), db="shop")
    old.sql("create table t (a int primary key); select setval('s2999', 99)", db="shop")
    findings = doctor(m, ok=True)
    assert not found(findings, "unchecked")
    one(findings, "sequence-end", "public.s2999")
