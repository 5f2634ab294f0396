"""psycopg 3 (libpq): pipelines, binary, prepared by itself, COPY row by row."""
import sys
import threading

import psycopg

host, port, db, user, password = sys.argv[1:6]


def connect():
    return psycopg.connect(host=host, port=port, dbname=db, user=user, password=password, autocommit=True)


def one(c, sql, args=None, **more):
    return c.execute(sql, args, **more).fetchone()[0]


c = connect()
print("simple", one(c, "select 1 + 1"))
print("parameters", one(c, "select %s::int + %s::int", (40, 2)), one(c, "select %s::timestamp", ("2026-01-02 03:04:05",), binary=True))
print("prepared", *(one(c, "select %s::int * 2", (n,), prepare=True) for n in range(3)))
with c.transaction(), c.cursor("named") as cur:
    cur.itersize = 3
    cur.execute("select n from generate_series(1, 10) n")
    print("cursor", [row[0] for row in cur])
c.execute("truncate app_item")
with c.pipeline():
    with c.cursor() as cur:
        cur.executemany("insert into app_item (id, word) values (%s, %s)", [(n, f"word {n}") for n in range(100)])
    found = [c.execute("select word from app_item where id = %s", (n,)) for n in (3, 4, 5)]
print("batch", *(cur.fetchone()[0] for cur in found))
with c.cursor() as cur:
    with cur.copy("copy app_item (id, word) from stdin (format binary)") as copy:
        copy.set_types(["int4", "text"])
        for n in range(100, 1100):
            copy.write_row((n, f"copied {n}"))
    with cur.copy("copy (select * from app_item order by id) to stdout") as copy:
        rows = list(copy.rows())
    print("copy", len(rows), rows[-1])
try:
    with c.transaction():
        try:
            with c.transaction():
                one(c, "select 1/0")
        except psycopg.errors.DivisionByZero as e:
            print("error", e.sqlstate)
        print("after savepoint", one(c, "select count(*) from app_item"))
        c.execute("insert into app_item values (1, 'twice')")
except psycopg.Error as e:
    print("error", e.sqlstate)
try:
    with c.pipeline():
        c.execute("select 1")
        c.execute("select nonsense")
        c.execute("select 2")
except psycopg.Error as e:
    print("error in a pipeline", e.sqlstate)
c.execute("listen news")
connect().execute("notify news, 'hello'")
print("notified", next(c.notifies()).payload)
threading.Timer(0.5, c.cancel).start()
try:
    c.execute("select pg_sleep(60)")
except psycopg.Error as e:
    print("cancelled", e.sqlstate)
print("idle", flush=True)
sys.stdin.readline()
print("prepared", one(c, "select %s::int * 2", (9,), prepare=True), one(c, "select word from app_item where id = %s", (7,)))
connect().execute("notify news, 'again'")
print("notified", next(c.notifies()).payload)
