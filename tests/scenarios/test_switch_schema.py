"""Who changes a table right before a switch: where no event trigger says so, no row need ever have come in the new shape. The new side has the change, or
the old side serves on."""

import psycopg2
import pytest

import servers

from compare import compare
from follow import LEAT_TABLES
from test_rights import prepare
from test_switch import Pair
from test_switch_rights import GATES, ended, halted
from wait import wait_for

TABLES = ("create table wide (id int primary key, word varchar(5) not null, number int); insert into wide select g, 'w', g from generate_series(1, 50) g;"
          "create table draft (id int primary key, word varchar(5) not null, number int); insert into draft values (1, 'draft', 1);"
          "alter table wide owner to app; alter table draft owner to app; ")
SWAP = "alter table wide rename to was; alter table draft rename to wide; alter table was rename to draft"
CHANGED_PLACES = '"public"."wide" of the old side is called "public"."draft" on the new one: rename it there as it was renamed here'
# what is done on the old side, what is said of it
CHANGES = [
    ("alter table wide add column more text default 'all'", 'column more text of public.wide is new on the old side: ALTER TABLE "public"."wide" ADD COLUMN "more" text on the new one'),
    ("alter table wide drop column number", 'column number of public.wide is no longer on the old side: ALTER TABLE "public"."wide" DROP COLUMN "number" on the new one'),
    ("alter table wide alter column word type varchar(9)", "column word of public.wide is character varying(9) on the old side and character varying(5) on the new one"),
    ("alter table wide alter column word drop not null", "column word of public.wide may be NULL on the old side only"),
    ("create table made as select 1 as id", '"public"."made" is not on the new side'),
]


class Plain(Pair):
    """Leat's role is a member of the tables' owner, and no more: it can make no event trigger on either side."""

    def __init__(self, server, migration, extra=GATES):   # pylint: disable=super-init-not-called
        self.old, self.new, self.doors = server(15, "old"), server(15, "new"), [servers._free_port()]
        prepare(self.old, self.new)
        for s in (self.old, self.new):
            s.sql("grant set on parameter session_replication_role to leat; alter role app login; grant all on database shop to app")
        self.old.sql(TABLES, db="shop")
        self.leat = migration(config=self.config(extra))

    def start(self):
        super().start()
        self.leat.run("rehearse", "--yes")
        self.ready()

    def serving(self):
        found = []
        for name in ("source", "target"):
            try:
                self.side(name).sql("update t set x = x where id = 1", db="shop", user="app")
                found.append(name)
            except psycopg2.errors.SerializationFailure:
                pass
        return found

    def alter(self, sql, *sides):
        for side in sides:
            side.sql(sql, db="shop", user="app")

    def engines(self):
        return set(self.leat.pids("engine"))

    def settled(self, before, check=0):
        """The engines have begun anew with what both sides are by now, and all is compared again."""
        wait_for(lambda: len(self.engines()) == 2 and not self.engines() & before, 40, "engines to begin anew", show=self.leat.logs)
        self.leat.wait_status(lambda s: s["stores"][0]["running"] and s["stores"][0]["ddl_pending"] == "", 40, "nothing to be pending")
        wait_for(self.followed, 60, "both streams to be followed", show=self.leat.logs)
        self.leat.run("verify", check=check)

    def equal(self):
        wait_for(lambda: not compare(self.old.dsn("shop"), self.new.dsn("shop"), sequences=None, skip=LEAT_TABLES), 30, "both sides to be equal", show=self.leat.logs)


def ends(pair):
    """What the last attempt said when it ended, and who served then."""
    body = [e["body"] for e in pair.leat.run("events").events if e.get("kind") == "switch.ended"][-1]
    return body["why"], body["serves"]


def test_the_gate_names_it(server, migration):
    """All of it within the seconds before; and none of it hinders a rehearsal but the new table, nor anything once both sides have it."""
    pair = Plain(server, migration)
    pair.start()
    process = halted(pair, "gate", output="text")
    for change, _ in CHANGES:
        pair.alter(change, pair.old)
    out, err = ended(process)
    assert process.returncode == 3, out + err
    for _, words in CHANGES:
        assert words in out + err, (words, out + err)
    assert pair.serving() == ["source"]
    before = pair.engines()
    for change, _ in CHANGES[:4]:
        pair.alter(change, pair.new)
    pair.alter("drop table made", pair.old)
    pair.settled(before)
    assert pair.leat.run("cutover", "--yes").json["authority"] == "target"
    assert pair.new.one("select count(*) from wide where more = 'all'", db="shop") == 50
    pair.alter("alter table wide add column last int not null default 7", pair.new)   # and the way back
    assert "column last integer of public.wide is new on the old side" in pair.leat.run("rollback", "--yes", check=3).json["error"]["why"]
    assert pair.serving() == ["target"]


@pytest.mark.parametrize("change,said,named", [
    (CHANGES[0][0], 'columns of "public"."wide" changed on the old side', "column more text of public.wide is new on the old side"),
    (CHANGES[1][0], 'columns of "public"."wide" changed on the old side', "column number of public.wide is no longer on the old side"),
    (SWAP, "tables came or went on the old side", CHANGED_PLACES),
], ids=("add", "drop", "swap"))
def test_looked_at_again_under_the_lock(server, migration, change, said, named):
    pair = Plain(server, migration)
    pair.start()
    process = halted(pair, "hold")
    pair.alter(change, pair.old)
    out, err = ended(process)
    assert process.returncode == 3 and named in (out + err).replace('\\"', '"'), out + err   # by the gate of the next try
    why, serves = ends(pair)
    assert said in why and serves == "source", why
    assert pair.serving() == ["source"]


def test_tables_that_changed_places(server, migration):
    """Named where that is so on one side alone; on both it hinders nothing, there and back."""
    pair = Plain(server, migration)
    pair.start()
    process = halted(pair, "gate")
    pair.alter(SWAP, pair.old)
    out, err = ended(process)
    assert process.returncode == 3 and CHANGED_PLACES in (out + err).replace('\\"', '"'), out + err
    said = pair.leat.wait_status(lambda s: s["stores"][0]["ddl_pending"], 40, "it to be pending")["stores"][0]["ddl_pending"]
    assert "public.wide is called public.draft on the source by now" in said, said
    before = pair.engines()
    pair.alter(SWAP, pair.new)
    pair.settled(before)
    pair.leat.run("cutover", "--yes")
    pair.alter("insert into draft values (1000, 'late', 1)", pair.new)
    wait_for(lambda: pair.old.one("select count(*) from draft where id = 1000", db="shop") == 1, 30, "the row to come back", show=pair.leat.logs)
    pair.leat.run("rollback", "--yes")
    assert pair.serving() == ["source"]
    pair.equal()


@pytest.mark.parametrize("policy", ("stop", "apply"))
def test_with_an_event_trigger(server, migration, policy):
    """Carried with the stream, or it stops exactly there: nothing is decided without it."""
    pair = Pair(server, migration, 15, 15, extra=GATES)
    pair.leat.write(pair.leat.config.read_text().replace("    engine: postgresql\n", f"    engine: postgresql\n    ddl: {policy}\n"))
    pair.prepare()
    process = halted(pair, "hold")
    pair.old.sql("alter table entry add column more text default 'all'", db="shop")
    pair.old.sql("insert into entry values (1, 1, 1, 1)", db="shop", user="app")
    out, err = ended(process)
    if policy == "apply":
        if pair.serving() == ["source"]:   # it may not have come yet when the next gate looked
            wait_for(lambda: pair.leat.run("cutover", "--yes", check=False).status == 0, 60, "the cutover", show=pair.leat.logs)
        assert pair.serving() == ["target"] and pair.new.one("select more from entry where client = 1", db="shop") == "all"
    else:
        assert process.returncode != 0 and pair.serving() == ["source"], out + err


def test_what_a_column_holds_is_compared(server, migration):
    """Made on both sides, and filled on the old one alone: no row of it came, and what was compared was compared without it."""
    pair = Plain(server, migration)
    pair.start()
    before = pair.engines()
    process = halted(pair, "gate")
    pair.alter("alter table wide add column more text default 'all'", pair.old)
    pair.alter("alter table wide add column more text", pair.new)
    out, err = ended(process)
    assert process.returncode == 3 and "the columns of public.wide changed since both sides were compared" in out, out + err
    pair.settled(before, check=2)
    assert "verify" in pair.leat.run("cutover", "--yes", check=3).json["error"]["why"]
    pair.alter("update wide set more = 'all'", pair.old)   # rows that come are right
    pair.equal()
    pair.ready()
    pair.leat.run("cutover", "--yes")
    assert pair.new.one("select count(*) from wide where more = 'all'", db="shop") == 50
