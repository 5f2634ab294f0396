"""psycopg2 (libpq): see test_drivers.py for what each of these does, and in which words it says so."""
import io
import sys

import psycopg2
import psycopg2.extras

host, port, db, user, password = sys.argv[1:6]


def connect():
    c = psycopg2.connect(host=host, port=port, dbname=db, user=user, password=password)
    c.autocommit = True
    return c


def one(c, sql, args=None):
    with c.cursor() as cur:
        cur.execute(sql, args)
        return cur.fetchone()[0] if cur.description else cur.statusmessage


c = connect()
print("simple", one(c, "select 1 + 1"))
print("parameters", one(c, "select %s::int + %s", (40, 2)))
one(c, "prepare adds (int, int) as select $1 + $2")
print("prepared", one(c, "execute adds (1, 2)"), one(c, "execute adds (3, 4)"))
c.autocommit = False
with c.cursor("named") as cur:
    cur.itersize = 3
    cur.execute("select n from generate_series(1, 10) n")
    print("cursor", [row[0] for row in cur])
c.commit()
with c.cursor() as cur:
    cur.execute("truncate app_item")
    psycopg2.extras.execute_values(cur, "insert into app_item (id, word) values %s", [(n, f"word {n}") for n in range(100)], page_size=7)
    print("batch", one(c, "select count(*) from app_item"))
    cur.copy_expert("copy app_item from stdin", io.StringIO("".join(f"{n}\tcopied {n}\n" for n in range(100, 1100))))
    out = io.StringIO()
    cur.copy_expert("copy (select * from app_item order by id) to stdout", out)
    print("copy", len(out.getvalue().splitlines()), out.getvalue().splitlines()[1099])
c.commit()
try:
    one(c, "insert into app_item values (1, 'twice')")
except psycopg2.Error as e:
    print("error", e.pgcode)
try:
    one(c, "select 1")
except psycopg2.Error as e:
    print("then", e.pgcode)
c.rollback()
print("after rollback", one(c, "select count(*) from app_item"))
c.rollback()
c.autocommit = True
one(c, "listen news")
one(connect(), "notify news, 'hello'")
while not c.notifies:
    one(c, "select 1")
print("notified", c.notifies.pop().payload)
import threading
threading.Timer(0.5, c.cancel).start()
try:
    one(c, "select pg_sleep(60)")
except psycopg2.Error as e:
    print("cancelled", e.pgcode)
print("idle", flush=True)
sys.stdin.readline()
print("prepared", one(c, "execute adds (5, 6)"), one(c, "select word from app_item where id = %s", (7,)))
one(connect(), "notify news, 'again'")
while not c.notifies:
    one(c, "select 1")
print("notified", c.notifies.pop().payload)
