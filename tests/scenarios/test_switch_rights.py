"""Who may do what is the same on both sides before a switch: named to the object at the gate, looked at again under the lock."""
import os
import signal
import subprocess

from test_switch import Pair
from test_switch_faults import one_side, stopped
from wait import wait_for

GATES = "gates:\n  rehearsals: 0\n  pause: 5s\n"
SCHEMA = """
create role clerk login password 'first' connection limit 7; create role desk; grant desk to clerk; create role elsewhere login;
create function total() returns bigint language sql as 'select sum(balance)::bigint from public.account';
revoke all on function total() from public; grant execute on function total() to desk;
grant select (id) on entry to desk; grant usage on schema public to desk;
alter default privileges in schema public grant select on tables to desk;
alter role clerk in database shop set work_mem = '7MB'; alter database shop set statement_timeout = '1h';
grant temporary on database shop to desk;
"""
# what is done on the new side, what is said of it, what takes it back
DIFFERENCES = [
    ("alter role clerk connection limit 8", "role clerk is LOGIN INHERIT CONNECTION LIMIT 7 on the old side", "alter role clerk connection limit 7"),
    ("alter role clerk noinherit", "role clerk is LOGIN INHERIT", "alter role clerk inherit"),
    ("revoke desk from clerk", "role clerk is a MEMBER of desk on the old side", "grant desk to clerk"),
    ("revoke execute on function total() from desk", "function public.total(): desk has EXECUTE on the old side", "grant execute on function total() to desk"),
    ("grant delete on account to desk", "table public.account: desk has DELETE on the new side, and not on the old one", "revoke delete on account from desk"),
    ("revoke select (id) on entry from desk", "column public.entry.id: desk has SELECT on the old side", "grant select (id) on entry to desk"),
    ("alter default privileges in schema public revoke select on tables from desk", "default privileges tables of postgres in public: desk has SELECT on the old side",
     "alter default privileges in schema public grant select on tables to desk"),
    ("alter role clerk in database shop set work_mem = '8MB'", "work_mem of clerk (in this database) is set on the old side", "alter role clerk in database shop set work_mem = '7MB'"),
    ("alter database shop reset statement_timeout", "statement_timeout of the database (in this database) is set on the old side", "alter database shop set statement_timeout = '1h'"),
    ("revoke temporary on database shop from desk", "database: desk has TEMPORARY on the old side", "grant temporary on database shop to desk"),
    ("revoke usage on schema public from desk", "schema public: desk has USAGE on the old side", "grant usage on schema public to desk"),
]


def halted(pair, step, command="cutover", output="json"):
    process = subprocess.Popen(pair.leat.command(command, "--yes", output=output), cwd=pair.leat.folder, env={**pair.leat.env, "LEAT_HALT_AT": step},
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: process.poll() is not None or stopped(process.pid), 60, f"the switch to come to {step}", show=pair.leat.logs)
    assert process.poll() is None, process.communicate()
    return process


def ended(process):
    wait_for(lambda: process.poll() is not None or (stopped(process.pid) and os.kill(process.pid, signal.SIGCONT)), 60, "the switch to end")
    return process.communicate()


def test_named_and_mended(server, migration):
    pair = Pair(server, migration, 15, 15, extra=GATES)
    pair.old.sql(SCHEMA, db="shop")
    pair.old.sql("create materialized view totals as select total(); create unlogged table loose (id int primary key); insert into loose values (1)", db="shop")
    pair.start()
    pair.leat.run("rehearse", "--yes")
    pair.ready()
    password = pair.new.one("select rolpassword from pg_authid where rolname = 'clerk'")
    for change, _, _ in DIFFERENCES:
        pair.new.sql(change, db="shop")
    pair.new.sql("alter role clerk password 'second'; create role stranger login; grant select on account to stranger", db="shop")   # a role of its own is its business
    pair.old.sql("select lo_create(4711)", db="shop")
    refused = pair.leat.run("cutover", "--yes", check=3, output="text")
    said = refused.out + refused.err
    for _, words, _ in DIFFERENCES[1:]:
        assert words in said, (words, said)
    assert "role clerk has another password on the new side" in said and "stranger" not in said and "second" not in said and password not in said, said
    assert "materialized view: public.totals holds on the new side" in said, said
    assert "is in no stream: ALTER TABLE" in said and "1 large object(s) of the old side are not on the new one" in said, said
    assert pair.leat.run("rehearse", "--yes").json["ok"]   # a rehearsal says it, and goes on
    pair.old.sql("truncate loose; select lo_unlink(4711)", db="shop")
    for _, _, back in DIFFERENCES:
        pair.new.sql(back, db="shop")
    pair.new.sql("update pg_authid set rolpassword = %s where rolname = 'clerk'", (password,), db="shop")

    process = halted(pair, "check")   # between the gate and the look under the lock
    pair.old.sql("grant insert on account to desk", db="shop")
    out, err = ended(process)
    assert "table public.account: desk has INSERT on the old side" in out, out + err   # the gate of the next try
    ends = [e["body"] for e in pair.leat.run("events").events if e.get("kind") == "switch.ended"]
    assert "roles, privileges or settings changed while the switch began" in ends[-1]["why"] and ends[-1]["serves"] == "source", ends[-1]
    assert pair.serving() == ["source"]
    pair.old.sql("revoke insert on account from desk", db="shop")

    process = halted(pair, "drain")   # what is applied meanwhile may not fit
    pair.new.sql("insert into leat.ledger (migration, store, position, table_name, kind, why) select migration, store, '0/1', 'public.account', 'u', 'no such row' from leat.authority", db="shop")
    out, err = ended(process)
    assert "1 row(s) did not behave as the stream said" in out + err, out + err
    assert pair.serving() == ["source"]
    pair.new.sql("delete from leat.ledger", db="shop")
    wait_for(lambda: pair.leat.run("cutover", "--yes", check=False).status == 0, 60, "the cutover", show=pair.leat.logs)
    assert one_side(pair) == "target"
