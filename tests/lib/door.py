"""door — a SQL door over real servers: started, asked over its control socket, and the authority it settles by.

    with Door(folder, old.dsn("shop"), new.dsn("shop"), sides=make_authority(old, new, "shop", "shop")) as door:
        c = door.connect()
        door.hold(epoch=0); door.rebuild(); door.release("target", 1)
"""
import json
import os
import pathlib
import signal
import socket
import subprocess

import psycopg2

from leat import BINARY
from servers import _free_port, popen_mortal
from wait import alive, wait_for, wait_gone

SQL = pathlib.Path(__file__).resolve().parents[2] / "sql"
AUTHORITY = ";\n".join((SQL / name).read_text() for name in ("leat_schema.sql", "switch_functions.sql"))


def make_authority(old, new, old_db, new_db, epoch=0):
    """The rows as they stand before the first switch: the source serves. Returns where they are, for Door(sides=...)."""
    for server, db, here in ((old, old_db, "source"), (new, new_db, "target")):
        server.sql(AUTHORITY, db=db)
        server.sql("insert into leat.authority (migration, store, here, fence, epoch, open) values ('test', 'shop', %s, 'leat_fence_test', %s, %s)",
                   (here, epoch, here == "source"), db=db)
    servers = [server.one("select leat.server()", db=db) for server, db in ((old, old_db), (new, new_db))]
    for server, db in ((old, old_db), (new, new_db)):
        server.sql("update leat.authority set source_server = %s, target_server = %s", servers, db=db)
    return {"source": (old, old_db), "target": (new, new_db)}


def decide(old, old_db, epoch, side="target"):
    """What the pilot's lock session commits."""
    old.sql("update leat.authority set epoch = %s, side = %s, attempt = 0, open = false", (epoch, side), db=old_db)


def switch(sides, to, epoch):
    """A whole switch, as both rows tell of it; done again it changes nothing."""
    old = "source" if to == "target" else "target"
    decide(*sides[old], epoch, to)
    server, db = sides[to]
    server.sql("update leat.authority set epoch = %s, side = %s, attempt = 0, open = true where epoch < %s", (epoch, to, epoch), db=db)


class Control:
    """One connection to the control socket: a line each way."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        folder = os.open(path.parent, os.O_PATH)
        try:
            self.socket.connect(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
        self.file = self.socket.makefile("r")

    def send(self, **request):
        self.socket.sendall((json.dumps(request) + "\n").encode())

    def receive(self, deadline=30):
        self.socket.settimeout(deadline)
        line = self.file.readline()
        assert line, "the door hung up"
        return json.loads(line)

    def ask(self, **request):
        self.send(**request)
        return self.receive()

    def close(self):
        self.file.close()
        self.socket.close()


class Door:
    def __init__(self, folder, source, target, trust='["127.0.0.0/8"]', extra="", nth=0, env=None, limits="", database=None, sides=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sides = sides   # from make_authority()
        self.state, self.port, self.nth = self.folder / ".leat", _free_port(), nth
        self.database = database or source.rsplit("/", 1)[1]
        self.config = self.folder / "leat.yaml"
        self.config.write_text(f"migration: test\nstores:\n  shop:\n    source: {json.dumps(source)}\n    target: {json.dumps(target)}\n"
                               f"    door: 127.0.0.1:{self.port}\n    door_trust: {trust}\n{extra}{limits}")
        self.env = {**os.environ, "LEAT_DUMPABLE": "1", **(env or {})}
        self.log = self.folder / "door.log"
        self.binary = [BINARY]
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = popen_mortal([*self.binary, "--config", self.config, "--state", self.state, "door", "shop", "--nth", self.nth],
                                        stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)
        self.control = None

        def answers():
            assert self.process.poll() is None, f"the door ended:\n{self.log.read_text()}"
            try:
                self.control = self.open_control()
                said = self.control.ask(do="status")   # the process before may still answer
                if said["phase"] == "serving" and said["pid"] == self.process.pid:
                    return True
                self.control.close()
                return False
            except (FileNotFoundError, ConnectionRefusedError):
                return False
        wait_for(answers, 30, "the door to serve", show=lambda: self.log.read_text())

    def open_control(self):
        return Control(self.state / "run" / f"shop.door.{self.nth}.sock")

    def connect(self, user="postgres", autocommit=True, **options):
        c = psycopg2.connect(**{"host": "127.0.0.1", "port": self.port, "dbname": self.database, "user": user, "connect_timeout": 20, **options})
        c.autocommit = autocommit
        return c

    def dsn(self, user="postgres", more=""):
        return f"host=127.0.0.1 port={self.port} dbname={self.database} user={user} {more}"

    def raw(self):
        return socket.create_connection(("127.0.0.1", self.port), 20)

    # -- what the pilot does --

    def status(self):
        return self.control.ask(do="status")

    def warm(self, side="target", deadline_ms=10000):
        return self.control.ask(do="warm", side=side, deadline_ms=deadline_ms)

    def row(self, side):
        """(epoch, side, attempt, open), as that side has it."""
        server, db = self.sides[side]
        return server.sql("select epoch, side, attempt, open from leat.authority", db=db)[0]

    def attempt(self):
        """Its number now; a door that started has used one up."""
        return self.row(self.status()["view"]["side"])[2]

    def hold(self, epoch=0, attempt=None, deadline_ms=10000):
        attempt = self.attempt() if attempt is None else attempt
        return self.control.ask(do="hold", epoch=epoch, attempt=attempt, deadline_ms=deadline_ms)

    def rebuild(self):
        return self.control.ask(do="rebuild")

    def release(self, side, epoch):
        """To the other side: once the rows say so."""
        if side != self.status()["view"]["side"]:
            switch(self.sides, side, epoch)
        return self.control.ask(do="release", side=side, epoch=epoch)

    def wait_phase(self, phase, deadline=20):
        watcher = self.open_control()
        try:
            return wait_for(lambda: (s := watcher.ask(do="status"))["phase"] == phase and s, deadline, f"the door to be {phase}", show=lambda: self.log.read_text())
        finally:
            watcher.close()

    def close(self):
        if self.control:
            self.control.close()
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
        if alive(self.process.pid):
            wait_gone(self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
