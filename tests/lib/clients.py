"""clients — applications of a database that is switched under them: what COMMIT told them is kept, outside of any database.

They write as a role of their own, wherever writes are taken; without a door they go to the other side when the fence refuses them, as an
application would that is deployed anew.
"""
import contextlib
import threading

import psycopg2

SCHEMA = """
create table account (id int primary key, balance bigint not null);
create table entry (client int not null, n bigint not null, account int not null references account, amount int not null, id bigserial, primary key (client, n));
insert into account select g, 0 from generate_series(1, 50) g;
create table part (client int, n bigint, primary key (client, n)) partition by hash (client);
create table part0 partition of part for values with (modulus 2, remainder 0);
create table part1 partition of part for values with (modulus 2, remainder 1);
"""


class Clients:
    """`count` threads; dsns: where one may be connected, the first is tried first."""

    def __init__(self, dsns, count=4, pause=0.002, doors_die=False):
        self.dsns, self.count, self.pause, self.doors_die = list(dsns), count, pause, doors_die
        self.acked = [0] * count    # the last number of each that was said to be committed
        self.doubt = [None] * count
        self.refused = 0            # by the fence, and tried again on the other side
        self.errors = []
        self.longest = 0.0
        self.stop = threading.Event()
        self.threads = []

    def __enter__(self):
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(self.count)]
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join(60)
            assert not t.is_alive()

    def _run(self, i):
        at = 0
        while not self.stop.is_set():
            try:
                with contextlib.closing(psycopg2.connect(self.dsns[at % len(self.dsns)])) as conn:
                    self._settle(i, conn)
                    self._work(i, conn)
            except psycopg2.errors.SerializationFailure:
                self.refused += 1
                at += 1
            except (psycopg2.OperationalError, psycopg2.InterfaceError) as e:
                if len(self.dsns) == 1 and not self.doors_die:
                    self.errors.append(str(e))
                at += 1
                self.stop.wait(0.02)
            except psycopg2.Error as e:
                self.errors.append(str(e))
                return

    def _settle(self, i, conn):
        """A COMMIT without an answer: the database knows."""
        if self.doubt[i] is None:
            return
        with conn, conn.cursor() as c:
            c.execute("update account set balance = balance where id = 1")   # only the side that serves can tell
            c.execute("select 1 from entry where client = %s and n = %s", (i, self.doubt[i]))
            if c.fetchone():
                self.acked[i] = self.doubt[i]
        self.doubt[i] = None

    def _work(self, i, conn):
        while not self.stop.is_set():
            n = self.acked[i] + 1
            with conn.cursor() as c:
                c.execute("insert into entry (client, n, account, amount) values (%s, %s, %s, %s)", (i, n, 1 + n % 50, n % 7 - 3))
                c.execute("update account set balance = balance + %s where id = %s", (n % 7 - 3, 1 + n % 50))
                c.execute("insert into part values (%s, %s)", (i, n))
            self.doubt[i] = n
            conn.commit()
            self.acked[i], self.doubt[i] = n, None
            self.stop.wait(self.pause)

    def check(self, conn):
        """What is wrong in a database that should hold exactly what was acknowledged."""
        wrong = []
        with conn.cursor() as c:
            for i in range(self.count):
                for table in ("entry", "part"):
                    c.execute(f"select count(*), coalesce(min(n), 1), coalesce(max(n), 0) from {table} where client = %s", (i,))
                    count, least, most = c.fetchone()
                    if self.doubt[i] is not None and most == self.doubt[i]:
                        most, count = most - 1, count - 1
                    if (count, least, most) != (self.acked[i], 1, self.acked[i]):
                        wrong.append(f"{table}, client {i}: {count} rows from {least} to {most}, acknowledged up to {self.acked[i]}")
            c.execute("select (select sum(balance) from account) - (select coalesce(sum(amount), 0) from entry)")
            if c.fetchone()[0] != 0:
                wrong.append("balances and entries do not agree")
        conn.rollback()
        return wrong

    def total(self):
        return sum(self.acked)
