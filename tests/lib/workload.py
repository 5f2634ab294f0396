"""workload — clients that write, and a ledger outside the database of what they were told.

Each client thread runs random transactions on tables of its own making and writes down, in memory, what COMMIT
acknowledged. A client owns its rows: only it changes them, so the ledger knows each row's one right state. When a
connection breaks during COMMIT the outcome is unknown; the ledger then keeps both possible states of every row
touched, until the client, back on a new connection, has looked (only while the same server is reachable; else they stay).

    load = Workload(old.socket_dsn("shop"), clients=4, seed=7)
    load.create()
    load.start()
    load.wait_commits(500)
    load.stop()
    problems = load.check(new.conn("shop"))
    assert not problems, problems

What check() proves of a database: every acknowledged row exactly once with its last acknowledged version; no row that
was never acknowledged, was rolled back or was deleted — but for those whose COMMIT is unknown, which are there wholly
or not at all. `load.seq` is written in order by each client, so a prefix can be told from a hole.
"""
import random
import threading
import time
import traceback
import uuid

import psycopg2

from wait import wait_for

SCHEMA = """
create schema load;
create table load.item (id uuid primary key, client int not null, version int not null, body text);
create table load.account (client int, number int, balance bigint not null, version int not null, primary key (client, number));
create table load.line (id uuid primary key, item uuid not null references load.item deferrable initially deferred, n int not null);
create table load.moved (key bigint primary key, client int not null, version int not null, big text);
create table load.seq (client int, n int, at timestamptz not null default clock_timestamp(), primary key (client, n));
"""
TABLES = {
    "item": "select id::text, client, version, body from load.item",
    "account": "select client || '/' || number, client, version, balance::text from load.account",
    "line": "select l.id::text, -1, l.n, l.item::text from load.line l",
    "moved": "select key::text, client, version, md5(big) from load.moved",
    "seq": "select client || '/' || n, client, 0, '' from load.seq",
}
ABSENT = None


class Ledger:
    """(table, key) → the states it may be in. A state is (version, text), or ABSENT. More than one: unknown."""

    def __init__(self):
        self.lock = threading.Lock()
        self.rows = {}
        self.doubts = []      # of each unknown commit: {(table, key): (before, after)}
        self.acknowledged = self.rolled_back = self.unknown = 0

    def commit(self, changes):
        with self.lock:
            self.acknowledged += 1
            for key, state in changes.items():
                self.rows[key] = state

    def doubt(self, changes):
        with self.lock:
            self.unknown += 1
            self.doubts.append({key: (self.rows.get(key), state) for key, state in changes.items()})
            return len(self.doubts) - 1

    def settle(self, number, committed):
        """A later look at the same server said how an unknown commit ended."""
        with self.lock:
            for key, (_, after) in self.doubts[number].items():
                if committed:
                    self.rows[key] = after
            self.doubts[number] = {}

    def check(self, conn, limit=10):
        """Problems of a database against this ledger; [] if it is exact."""
        with self.lock:
            want = {k: v for k, v in self.rows.items() if v is not ABSENT}
            doubts = [d for d in self.doubts if d]
        have, problems = _read(conn)
        doubted = {key for d in doubts for key in d}
        _check_certain(want, have, doubted, problems)
        for d in doubts:
            _check_doubt(d, have, problems)
        return problems if len(problems) <= limit else problems[:limit] + [f"... and {len(problems) - limit} more"]


def _read(conn):
    have, problems = {}, []
    with conn.cursor() as cur:
        for table, query in TABLES.items():
            cur.execute(query)
            for key, _, version, text in cur.fetchall():
                if (table, key) in have:
                    problems.append(f"{table} {key}: there twice")
                have[table, key] = (version, text)
    conn.rollback()
    return have, problems


def _check_certain(want, have, doubted, problems):
    for key, state in want.items():
        if key in doubted:
            continue
        if key not in have:
            problems.append(f"{key[0]} {key[1]}: lost (acknowledged as {_short(state)})")
        elif have[key] != state:
            problems.append(f"{key[0]} {key[1]}: is {_short(have[key])}, acknowledged was {_short(state)}")
    for key in have.keys() - want.keys() - doubted:
        problems.append(f"{key[0]} {key[1]}: is there as {_short(have[key])}, but was never acknowledged, or was deleted")


def _check_doubt(doubt, have, problems):
    """All of the transaction, or nothing of it."""
    before = [k for k, (b, _) in doubt.items() if have.get(k) == b]
    after = [k for k, (_, a) in doubt.items() if have.get(k) == a]
    if len(before) != len(doubt) and len(after) != len(doubt):
        problems.append("a transaction of unknown outcome is there in part: " + "; ".join(
            f"{t} {k} {'as before' if (t, k) in before else 'as after' if (t, k) in after else 'as neither'}" for t, k in doubt))


def _short(state):
    return f"version {state[0]}, {state[1]!r:.40}"


class Client(threading.Thread):
    """One writer. Its choices come from its own seeded generator."""

    def __init__(self, load, number):
        super().__init__(daemon=True, name=f"client-{number}")
        self.load, self.number = load, number
        self.random = random.Random(f"{load.seed}/{number}")
        self.next = 0
        self.error = None
        self.mine = {"item": {}, "account": {}, "line": {}, "moved": {}}  # key → state, as acknowledged
        self.changes = {}
        self.conn = None
        self.backend = None   # (pid, start) of its backend
        self.doubt = None     # (number in the ledger, changes) of a commit whose outcome is still to be looked up

    def run(self):
        try:
            while not self.load.stopping.is_set():
                self._one()
                if self.load.pause:
                    self.load.stopping.wait(self.random.expovariate(1 / self.load.pause))
        except Exception:  # shown by stop(): a thread has nobody else to tell
            self.error = traceback.format_exc()
        finally:
            if self.conn:
                self.conn.close()

    def _one(self):
        self.changes = {}
        committing = False
        try:
            self._connect()
            with self.conn.cursor() as cur:
                if not self._body(cur):
                    self.conn.rollback()
                    self.load.ledger.rolled_back += 1
                    return
                committing = True
                self.conn.commit()
        except psycopg2.Error as e:
            if not self._broken(e):
                raise
            if committing:
                self.doubt = (self.load.ledger.doubt(self.changes), dict(self.changes))
            return
        self._keep()
        self.load.ledger.commit(self.changes)

    def _broken(self, e):
        """The connection is gone (a dead server, a cut): the client comes back. Anything else is a fault of the test."""
        gone = self.conn is None or self.conn.closed or isinstance(e, psycopg2.errors.AdminShutdown)
        if gone or isinstance(e, (psycopg2.errors.DeadlockDetected, psycopg2.errors.LockNotAvailable, psycopg2.errors.DiskFull)):
            if self.conn:
                self.conn.close()
            self.conn = None
            self.load.stopping.wait(0.05)
            return True
        return False

    def _keep(self):
        for (table, key), state in self.changes.items():
            if table in self.mine:
                if state is ABSENT:
                    self.mine[table].pop(key, None)
                else:
                    self.mine[table][key] = state

    def _connect(self):
        if self.conn is None:
            self.conn = psycopg2.connect(self.load.dsn, connect_timeout=5)
            with self.conn.cursor() as cur:
                if self.doubt:
                    self._wait_backend_gone(cur)
                cur.execute("select pid, backend_start from pg_stat_activity where pid = pg_backend_pid()")
                self.backend = cur.fetchone()
            self.conn.rollback()
        if self.doubt:
            self._settle()

    def _wait_backend_gone(self, cur):
        """The backend of an unknown commit may outlive its connection, and commit after we looked."""
        def gone():
            cur.execute("select count(*) from pg_stat_activity where (pid, backend_start) = (%s, %s)", self.backend)
            count = cur.fetchone()[0]
            self.conn.rollback()
            return count == 0
        wait_for(gone, 30, "the backend of an unknown commit to be gone")

    def _settle(self):
        """Each transaction writes a row of load.seq of its own: whether that row is there is the answer."""
        number, changes = self.doubt
        n = next(key for table, key in changes if table == "seq").split("/")[1]
        with self.conn.cursor() as cur:
            cur.execute("select count(*) from load.seq where client = %s and n = %s", (self.number, n))
            committed = cur.fetchone()[0] == 1
        self.conn.rollback()
        self.load.ledger.settle(number, committed)
        if committed:
            self.changes = changes
            self._keep()
        self.doubt, self.changes = None, {}

    # -- one transaction --

    def _body(self, cur):
        """Some acts, sometimes under savepoints; False: roll it all back."""
        self._set(cur, "insert into load.seq (client, n) values (%s, %s)", (self.number, self.next), "seq",
                  f"{self.number}/{self.next}", (0, ""))
        self.next += 1
        for _ in range(self.random.choice((1, 1, 1, 2, 3, self.load.acts))):
            if self.random.random() < 0.15:
                self._in_savepoint(cur)
            else:
                self._act(cur)
        return self.random.random() >= 0.05

    def _in_savepoint(self, cur):
        before = dict(self.changes)
        cur.execute("savepoint s")
        for _ in range(self.random.randrange(1, 4)):
            self._act(cur)
        if self.random.random() < 0.5:
            cur.execute("rollback to savepoint s")
            self.changes = before
        cur.execute("release savepoint s")

    def _act(self, cur):
        self.random.choice((self._new_item, self._new_item, self._change_item, self._change_item, self._delete_item,
                            self._transfer, self._transfer, self._new_moved, self._rekey, self._touch_moved))(cur)

    def _now(self, table):
        """This client's rows of a table as this transaction sees them."""
        rows = dict(self.mine[table])
        for (t, key), state in self.changes.items():
            if t == table:
                rows[key] = state
        return {k: v for k, v in rows.items() if v is not ABSENT}

    def _pick(self, table):
        rows = self._now(table)
        if not rows:
            return None, None
        key = self.random.choice(sorted(rows)) if len(rows) < 50 else self.random.choice(list(rows))
        return key, rows[key]

    def _set(self, cur, query, args, table, key, state):
        cur.execute(query, args)
        assert cur.rowcount == 1, f"{cur.rowcount} rows instead of 1: {query} {args}"
        self.changes[table, key] = state

    def _uuid(self):
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def _text(self):
        return "".join(self.random.choice("abcdefgh äß€😀'\\\t\n") for _ in range(self.random.choice((0, 5, 20, 200))))

    def _new_item(self, cur):
        key, body = self._uuid(), self._text()
        self._set(cur, "insert into load.item values (%s, %s, 1, %s)", (key, self.number, body), "item", key, (1, body))
        for n in range(self.random.randrange(0, 3)):
            line = self._uuid()
            self._set(cur, "insert into load.line values (%s, %s, %s)", (line, key, n), "line", line, (n, key))

    def _change_item(self, cur):
        key, state = self._pick("item")
        if key:
            body = self._text()
            self._set(cur, "update load.item set version = version + 1, body = %s where id = %s", (body, key), "item", key,
                      (state[0] + 1, body))

    def _delete_item(self, cur):
        key, _ = self._pick("item")
        if key and self.random.random() < 0.5:
            for line, (_, item) in self._now("line").items():
                if item == key:
                    self._set(cur, "delete from load.line where id = %s", (line,), "line", line, ABSENT)
            self._set(cur, "delete from load.item where id = %s", (key,), "item", key, ABSENT)

    def _transfer(self, cur):
        """Between two accounts of this client: their sum stays."""
        for number, amount in zip(self.random.sample(range(10), 2), (5, -5)):
            key = f"{self.number}/{number}"
            version, balance = self._now("account").get(key, (0, "0"))
            state = (version + 1, str(int(balance) + amount))
            query = "insert into load.account (balance, version, client, number) values (%s, %s, %s, %s)" if version == 0 else \
                "update load.account set balance = %s, version = %s where client = %s and number = %s"
            self._set(cur, query, (int(state[1]), state[0], self.number, number), "account", key, state)

    def _new_moved(self, cur):
        key = self.number * 10**12 + self.random.randrange(10**11)
        if str(key) in self._now("moved") or ("moved", str(key)) in self.changes:
            return
        cur.execute("insert into load.moved values (%s, %s, 1, (select string_agg(md5(i::text || %s), '') from generate_series(1, %s) i)) "
                    "returning coalesce(md5(big), '')", (key, self.number, str(key), self.random.choice((1, 10, 400))))
        self.changes["moved", str(key)] = (1, cur.fetchone()[0])

    def _rekey(self, cur):
        """A key update; the large column stays (and arrives as an unchanged TOAST value)."""
        key, state = self._pick("moved")
        new = self.number * 10**12 + self.random.randrange(10**11)
        if key and ("moved", str(new)) not in self.changes and str(new) not in self.mine["moved"]:
            self._set(cur, "update load.moved set key = %s, version = version + 1 where key = %s", (new, int(key)), "moved", str(new),
                      (state[0] + 1, state[1]))
            self.changes["moved", key] = ABSENT

    def _touch_moved(self, cur):
        key, state = self._pick("moved")
        if key:
            self._set(cur, "update load.moved set version = version + 1 where key = %s", (int(key),), "moved", key,
                      (state[0] + 1, state[1]))


class Workload:
    """pause: mean seconds between a client's transactions (0: as fast as it can). acts: acts of the largest transactions."""

    def __init__(self, dsn, clients=4, seed=1, pause=0.0, acts=10):
        self.dsn, self.seed, self.pause, self.acts = dsn, seed, pause, acts
        self.ledger = Ledger()
        self.stopping = threading.Event()
        self.clients = [Client(self, n) for n in range(1, clients + 1)]
        self.began = None

    def create(self):
        c = psycopg2.connect(self.dsn)
        with c, c.cursor() as cur:
            cur.execute(SCHEMA)
        c.close()

    def start(self):
        self.began = time.monotonic()
        for client in self.clients:
            client.start()
        return self

    def wait_commits(self, count, deadline=60):
        """Until that many more transactions have been acknowledged: load goes on while other things happen."""
        goal = self.ledger.acknowledged + count
        wait_for(lambda: self.ledger.acknowledged >= goal or self.failed(), deadline, f"{count} more commits")
        self._raise()

    def failed(self):
        return next((c.error for c in self.clients if c.error), None)

    def _raise(self):
        assert not self.failed(), f"a client of the workload failed:\n{self.failed()}"

    def stop(self, deadline=60):
        self.stopping.set()
        for client in self.clients:
            if client.ident:
                client.join(deadline)
                assert not client.is_alive(), f"{client.name} does not end"
        self._raise()
        return self

    def check(self, conn, limit=10):
        return self.ledger.check(conn, limit)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
