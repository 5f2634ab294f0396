"""proxy — a network that fails: a TCP proxy between leat and a server, with one word for each way of failing.

    with Proxy(old.port) as net:
        dsn = net.dsn(old.dsn("shop"))        # the same server, through the proxy; leat is to notice a silent peer soon
        net.cut()                             # every connection is reset, new ones are refused
        net.silence()                         # half-open: packets of either side vanish, nobody is told, SYNs too
        net.silence("forward stream")         # only the connections with that application_name
        net.fail("cut", lambda name: name == "switch")   # or "silence": those connections, and each of them that comes, until heal()
        net.hold()                            # the network's machine answers for a peer that says no more: no keepalive notices
        net.slow(rate=200_000, delay=0.05)    # so many bytes a second to the client of each connection, so late; slow(): as fast as can be
        net.heal()                            # new connections pass; those that were silent stay so for ever (they are forgotten)

What holds
 1. Silence is that of a cable that is cut: a socket filter drops what arrives, before TCP sees it. So nothing is acknowledged, no
    keepalive is answered, and no right is needed for it. What a silent connection still had on its way is lost.
 2. A connection never recovers from silence: as behind a router that has forgotten it.
 3. Whose a connection is, its startup packet says (application_name); those of libpq's cancelling have none.
"""
import ctypes
import re
import select
import socket
import struct
import threading

SO_ATTACH_FILTER, SO_DETACH_FILTER, TCP_USER_TIMEOUT = 26, 27, 18
# libpq's own settings: a peer that does not answer is given up within two seconds instead of thirty.
SOON = {"keepalives_idle": 1, "keepalives_interval": 1, "keepalives_count": 1, "tcp_user_timeout": 1500, "connect_timeout": 2}
NAME = re.compile(rb"application_name\0(?:leat: )?([^\0]*)\0")
CHUNK = 1 << 16


def _drop_all(sock):
    """Invariant 1: a filter of one instruction, `return 0`."""
    code = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(code)))


def _reset(sock):
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    sock.close()


class _Pair(threading.Thread):
    """One connection: client and server, and what it is called."""

    def __init__(self, proxy, client):
        super().__init__(daemon=True, name="proxy pair")
        self.proxy, self.client, self.server = proxy, client, None
        self.name_of_client = ""
        self.silent = self.ended = self.held = False

    def run(self):
        try:
            self.server = socket.create_connection(("127.0.0.1", self.proxy.port_behind), timeout=10)
            for one in (self.client, self.server):
                one.settimeout(None)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not self.ended and self._turn():
                pass
        except OSError:
            pass
        self.end()

    def _turn(self):
        if self.silent or self.held or self.proxy.holding:
            self.proxy.changed.wait(0.05)
            return True
        ready, _, _ = select.select([self.client, self.server], [], [], 0.05)
        return all(self._carry(one, self.server if one is self.client else self.client) for one in ready)

    def _carry(self, one, other):
        data = one.recv(CHUNK if one is self.client else self.proxy.portion())
        if one is self.client:
            named = NAME.search(data) if not self.name_of_client else None
            self.name_of_client = named[1].decode() if named else self.name_of_client
            if named and not self.proxy.suffers(self):
                return False
        if not data:
            return False
        if one is self.server:
            self.proxy.pause_for(len(data))
        if not self.silent:
            other.sendall(data)
        return True

    def silence(self):
        self.silent = True
        for one in (self.client, self.server):
            if one is not None:
                _drop_all(one)

    def end(self):
        """Reset on both sides, but for silent ones: those are told nothing (and keep their sockets until the proxy goes)."""
        self.ended = True
        if not self.silent or self.proxy.closed:
            for one in (self.client, self.server):
                if one is not None:
                    _reset(one)


class Proxy:
    def __init__(self, port_behind):
        self.port_behind = port_behind
        self.door = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.door.getsockname()[1]
        self.lock, self.changed = threading.Lock(), threading.Event()
        self.pairs = []
        self.refusing = self.holding = self.deaf = self.closed = False
        self.rate = self.delay = self.count = 0
        self.how, self.whom = None, None   # of fail()
        threading.Thread(target=self._accept, daemon=True, name="proxy").start()

    def dsn(self, dsn, **more):
        settings = "&".join(f"{k}={v}" for k, v in {**SOON, **more}.items())
        return dsn.replace(f":{self.port_behind}/", f":{self.port}/") + "?" + settings

    def _accept(self):
        while True:
            try:
                client, _ = self.door.accept()
            except OSError:
                return
            self.count += 1
            with self.lock:
                if self.refusing:
                    _reset(client)
                    continue
                pair = _Pair(self, client)
                self.pairs = [p for p in self.pairs if p.is_alive()] + [pair]
                pair.start()

    # -- what a pair asks --

    def portion(self):
        """So much at once that a slow connection moves some times a second."""
        return max(256, min(CHUNK, self.rate // 20)) if self.rate else CHUNK

    def pause_for(self, size):
        seconds = self.delay + (size / self.rate if self.rate else 0)
        if seconds:
            self.changed.wait(seconds)

    def suffers(self, pair):
        """The pair has said its name: fail() may be meant. False: it ends."""
        if self.how is None or not self.whom(pair.name_of_client):
            return True
        if self.how == "silence":
            pair.silence()
        return self.how != "cut"

    # -- the faults --

    def _of(self, name):
        return [p for p in self.pairs if p.is_alive() and not p.silent and (name is None or name in p.name_of_client)]

    def names(self):
        with self.lock:
            return sorted(p.name_of_client for p in self._of(None))

    def cut(self, name=None, refuse=True):
        """Resets; how many. refuse: new ones too, until heal()."""
        with self.lock:
            self.refusing = refuse and name is None
            found = self._of(name)
            for pair in found:
                pair.end()
            return len(found)

    def silence(self, name=None):
        with self.lock:
            found = self._of(name)
            for pair in found:
                pair.silence()
            if name is None:
                _drop_all(self.door)
                self.deaf = True
            return len(found)

    def fail(self, how, whom):
        """how: cut or silence. whom: says of a name whether it is one of them."""
        with self.lock:
            self.how, self.whom = how, whom
            found = [p for p in self._of(None) if p.name_of_client and whom(p.name_of_client)]
            for pair in found:
                pair.end() if how == "cut" else pair.silence()
            return len(found)

    def hold(self, name=None):
        """All, those to come too; or those of that name that are there: how many."""
        if name is None:
            self.holding = True
            return len(self.pairs)
        with self.lock:
            found = self._of(name)
            for pair in found:
                pair.held = True
            return len(found)

    def accepted(self):
        """How many connections there ever were."""
        return self.count

    def slow(self, rate=0, delay=0.0):
        self.rate, self.delay = rate, delay

    def heal(self):
        self.refusing = self.holding = False
        self.how = None
        with self.lock:
            for pair in self.pairs:
                pair.held = False
        if self.deaf:
            self.deaf = False
            self.door.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        self.changed.set()
        self.changed.clear()

    def close(self):
        self.closed = True
        self.heal()
        with self.lock:
            try:
                self.door.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.door.close()
            for pair in self.pairs:
                pair.end()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
