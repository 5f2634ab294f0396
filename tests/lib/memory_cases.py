"""memory_cases — what could make an engine large, each at a size of choice. The scenarios try them small, `make bench` large.

    case(server, migration, size) → memory.Peaks of all that leat ran
"""
from memory import Peaks
from wait import wait_for

DATABASE = "shop"


class Bench:
    """A migration of one database, its memory watched from the first process on."""

    def __init__(self, server, migration, schema, source=15, target=17):
        settings = {"max_wal_size": "16GB", "fsync": "off", "shared_buffers": "512MB"}
        self.old, self.new = server(source, "old", settings), server(target, "new", settings)
        dsn, to = self.old.createdb(DATABASE), self.new.createdb(DATABASE)
        self.old.sql(schema, db=DATABASE)
        self.leat = migration({DATABASE: (dsn, to)})
        self.peaks = Peaks(self.leat)

    def __enter__(self):
        self.peaks.__enter__()
        return self

    def __exit__(self, *_):
        self.peaks.__exit__()

    def follow(self, deadline=600):
        self.leat.run("start", "--yes")
        self.leat.wait_status(lambda s: s["stores"][0].get("following"), deadline, "following")

    def arrive(self, question, deadline=1800):
        """Until both sides answer it alike."""
        want = self.old.sql(question, db=DATABASE)
        wait_for(lambda: self.new.sql(question, db=DATABASE) == want, deadline, f"{question} to be {want}", every=0.2,
                 show=lambda: self.leat.run("status", check=False).out + self.leat.logs())


def large_insert(server, migration, rows, **versions):
    """One transaction of so many narrow rows."""
    with Bench(server, migration, "create table t (id bigint primary key, x int)", **versions) as b:
        b.follow()
        b.old.sql(f"insert into t select g, g % 1000 from generate_series(1, {rows}) g", db=DATABASE)
        b.arrive("select count(*), sum(x) from t")
    return b.peaks


def large_update(server, migration, rows, **versions):
    """One transaction that updates so many rows, then one that deletes them."""
    with Bench(server, migration, f"create table t as select g::bigint id, 0 x from generate_series(1, {rows}) g; alter table t add primary key (id)", **versions) as b:
        b.follow()
        b.old.sql("update t set x = id % 1000", db=DATABASE)
        b.arrive("select count(*), sum(x) from t")
        b.old.sql("delete from t where id % 3 = 0", db=DATABASE)
        b.arrive("select count(*), sum(x) from t")
    return b.peaks


def backlog(server, migration, transactions, **versions):
    """So many small transactions that nobody applied meanwhile."""
    with Bench(server, migration, "create table t (id bigserial primary key, x int, at timestamptz default now());"
               " create procedure many(n int) language plpgsql as $$begin for i in 1..n loop insert into t (x) values (i); update t set x = x + 1 where id = i / 2; commit; end loop; end$$",
               **versions) as b:
        b.follow()
        b.leat.run("stop")
        c = b.old.conn(db=DATABASE, autocommit=True)
        c.cursor().execute("set synchronous_commit = off")
        c.cursor().execute(f"call many({transactions})")
        c.close()
        b.leat.run("start", "--yes")
        b.arrive("select count(*), sum(x) from t")
    return b.peaks


def large_table(server, migration, megabytes, **versions):
    """The copy of a table of that size."""
    with Bench(server, migration, f"create table t as select g::bigint id, repeat(md5(g::text), 30) a from generate_series(1, {megabytes} * 1000) g; alter table t add primary key (id)", **versions) as b:
        b.follow()
        b.arrive("select count(*), sum(id) from t")
    return b.peaks


def large_row(server, migration, megabytes, kind="text", streamed=True, **versions):
    """A row whose one value has that size, copied; then, if streamed, inserted, and another column of it updated. (PostgreSQL sends a
    bytea as text, in the stream: two characters a byte, and no message may have 1 GB.)"""
    fill = f"repeat('x', {megabytes} * 1048576)::{kind}"
    schema = f"create table t (id int primary key, n int default 0, a {kind}); alter table t alter a set storage external; insert into t values (1, 0, {fill})"
    with Bench(server, migration, schema, **versions) as b:
        b.follow()
        b.arrive("select id, n, length(a) from t order by id")
        if streamed:
            b.old.sql(f"insert into t values (2, 0, {fill})", db=DATABASE)
            b.arrive("select id, n, length(a) from t order by id")
            b.old.sql("update t set n = 1 where id = 2", db=DATABASE)
            b.arrive("select id, n, length(a), md5(a) from t order by id")
    return b.peaks
