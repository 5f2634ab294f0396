"""rawpg — PostgreSQL's protocol by hand, message by message: for what no driver would send. Trust, or SCRAM by a shift.Key; over TCP."""
import socket
import struct


class Refused(Exception):
    """An ErrorResponse; fields by their letter."""

    def __init__(self, body):
        self.fields = {part[:1].decode(): part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
        super().__init__(f"{self.fields.get('C')}: {self.fields.get('M')}")


def message(kind, body=b""):
    return kind + struct.pack("!I", len(body) + 4) + body


def parse(name, sql, types=()):
    return message(b"P", name.encode() + b"\0" + (sql if isinstance(sql, bytes) else sql.encode()) + b"\0" + struct.pack(f"!H{len(types)}I", len(types), *types))


def bind(name, values=(), formats=(), results=()):
    body = b"\0" + name.encode() + b"\0" + struct.pack(f"!H{len(formats)}H", len(formats), *formats) + struct.pack("!H", len(values))
    for v in values:
        body += struct.pack("!i", -1) if v is None else struct.pack("!i", len(v)) + v
    return message(b"B", body + struct.pack(f"!H{len(results)}H", len(results), *results))


def execute(portal=""):
    return message(b"E", portal.encode() + b"\0" + struct.pack("!I", 0))


def close(name):
    return message(b"C", b"S" + name.encode() + b"\0")


def describe(name):
    return message(b"D", b"S" + name.encode() + b"\0")


def describe_portal():
    return message(b"D", b"P\0")


def sync():
    return message(b"S")


def query(sql):
    return message(b"Q", (sql if isinstance(sql, bytes) else sql.encode()) + b"\0")


def columns(body):
    """A DataRow's values."""
    (count,), at, values = struct.unpack("!H", body[:2]), 2, []
    for _ in range(count):
        (n,) = struct.unpack("!i", body[at:at + 4])
        at += 4
        values.append(None if n < 0 else body[at:at + n])
        at += max(n, 0)
    return values


def startup_packet(**words):
    body = struct.pack("!I", 196608) + b"".join(f"{k}\0{v}\0".encode() for k, v in words.items()) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


class Raw:
    def __init__(self, port, user="postgres", db="postgres", host="127.0.0.1", login=None, **startup):
        self.sock = socket.create_connection((host, port), timeout=20)
        self.data = b""
        self.sock.sendall(startup_packet(user=user, database=db, **startup))
        if login is not None:
            self._log_in(login)
        self.ready()

    def _log_in(self, login):
        self._request(10)
        self.sock.sendall(message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(login.first)) + login.first))
        self.sock.sendall(message(b"p", login.next(self._request(11))))
        login.final(self._request(12))

    def _request(self, code):
        """The rest of an Authentication message of this code."""
        kind, body = self.read()
        if kind == b"E":
            raise Refused(body)
        assert kind == b"R" and body[:4] == struct.pack("!I", code), (kind, body)
        return body[4:]

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def read(self):
        """The next message: its kind, its body."""
        while len(self.data) < 5 or len(self.data) < 1 + struct.unpack("!I", self.data[1:5])[0]:
            part = self.sock.recv(65536)
            if not part:
                raise ConnectionError("the server closed the connection")
            self.data += part
        end = 1 + struct.unpack("!I", self.data[1:5])[0]
        kind, body, self.data = self.data[:1], self.data[5:end], self.data[end:]
        return kind, body

    def ready(self):
        """All messages up to ReadyForQuery; raises for the first error among them, once they are read."""
        got = []
        while not got or got[-1][0] != b"Z":
            got.append(self.read())
        for kind, body in got:
            if kind == b"E":
                raise Refused(body)
        return got

    def send(self, *messages):
        self.sock.sendall(b"".join(messages))
        return self.ready()

    def rows(self, *messages):
        return [columns(body) for kind, body in self.send(*messages) if kind == b"D"]

    def sql(self, text):
        """Rows of a simple query, as text."""
        return [[None if v is None else v.decode() for v in row] for row in self.rows(query(text))]
