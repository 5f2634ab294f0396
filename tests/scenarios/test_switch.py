"""The switch on real servers: authority there and back under load, nothing lost or doubled, nobody serves on two sides."""
import pytest

from clients import SCHEMA, Clients
from compare import compare
from follow import LEAT_TABLES
from wait import wait_for

SWITCH_TABLES = (*LEAT_TABLES, "leat.authority", "leat.turn", "leat.round")


class Pair:
    """Two servers, leat with a role of its own, an application with another."""

    def __init__(self, server, migration, source=13, target=17, extra="gates:\n  rehearsals: 1\n  pause: 2s\n"):
        self.old, self.new = server(source, "old"), server(target, "new")
        for s in (self.old, self.new):
            s.sql("create role leat login superuser")
        self.old.sql("create role app login")
        self.old.createdb("shop")
        self.new.createdb("shop")
        self.old.sql(SCHEMA + "grant all on all tables in schema public to app; grant all on all sequences in schema public to app", db="shop")
        self.leat = migration({"shop": (self.old.dsn("shop", user="leat"), self.new.dsn("shop", user="leat"))}, extra=extra)
        self.direct = [self.old.dsn("shop", user="app"), self.new.dsn("shop", user="app")]

    def start(self):
        self.leat.run("start", "--yes")
        self.leat.wait_status(lambda s: s["stores"][0].get("following"), 60, "following")

    def side(self, name):
        return self.old if name == "source" else self.new

    def equal(self):
        """Waits until what one side has is on the other."""
        wait_for(lambda: not compare(self.old.dsn("shop"), self.new.dsn("shop"), sequences=None, skip=SWITCH_TABLES), 30, "both sides to be equal", show=self.leat.logs)

    def serving(self):
        """The sides that take a write of the application."""
        found = []
        for name in ("source", "target"):
            try:
                with self.side(name).conn("shop", user="app") as conn, conn.cursor() as c:
                    c.execute("update account set balance = balance where id = 1")
                    conn.rollback()
                found.append(name)
            except Exception as e:
                assert "takes no writes on this side" in str(e), e
        return found


@pytest.mark.parametrize("source,target", [(13, 17), (15, 15)])
@pytest.mark.limit(240)
def test_there_and_back_under_load(server, migration, source, target):
    pair = Pair(server, migration, source, target)
    pair.start()
    with Clients(pair.direct) as clients:
        r = pair.leat.run("rehearse", "--yes", "--times", "3").json
        assert [x["ok"] for x in r["runs"]] == [True] * 3 and r["authority"] == "source", r
        assert pair.serving() == ["source"]
        assert pair.leat.run("verify").json["ok"]
        for turn in range(4):
            command, serves = ("cutover", "target") if turn % 2 == 0 else ("rollback", "source")
            before = clients.total()
            r = pair.leat.run(command, "--yes").json
            assert r["authority"] == serves and r["decided"] and r["epoch"] == turn + 1, r
            assert pair.serving() == [serves]
            wait_for(lambda: clients.total() > before + 200, 60, "writes on the new side", show=pair.leat.logs)
    assert not clients.errors, clients.errors
    assert clients.refused > 0
    with pair.old.conn("shop") as conn:
        assert clients.check(conn) == []
    pair.equal()
    with pair.new.conn("shop") as conn:
        assert clients.check(conn) == []
