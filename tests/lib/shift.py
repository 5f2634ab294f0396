"""shift — the door's pure parts (tests/lib/shift_shim.c) from Python: what is a session, the bytes that make it anew, types renumbered."""
import ctypes
import pathlib

TREE = pathlib.Path(__file__).resolve().parents[2]
SOURCE, TARGET = 0, 1

_lib = ctypes.CDLL(str(TREE / "build" / "tests" / "libshift_shim.so"))
_out, _size, _bytes = ctypes.POINTER(ctypes.c_char_p), ctypes.c_size_t, ctypes.c_char_p
_lib.shim_why.restype = _bytes
for _name, _args in {"inspect": [ctypes.c_int, _bytes, ctypes.c_int], "unmovable": [_bytes, _size], "differs": [_bytes, _size, _bytes, _size],
                     "scram_first": [_bytes, _bytes], "scram_next": [_bytes, _size],
                     "rebuild": [_bytes, _size, _bytes, _bytes, _size, ctypes.c_int]}.items():
    getattr(_lib, "shim_" + _name).argtypes = [*_args, ctypes.POINTER(ctypes.c_void_p)]
    getattr(_lib, "shim_" + _name).restype = ctypes.c_long
_lib.shim_map.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_uint32), ctypes.POINTER(ctypes.c_uint16), _size, ctypes.c_void_p, _size]
_lib.shim_map.restype = ctypes.c_long
_lib.shim_scram_final.argtypes = [_bytes, _size]
_lib.shim_scram_final.restype = ctypes.c_long


class Unmovable(Exception):
    pass


def _call(name, *args):
    out = ctypes.c_void_p()
    n = getattr(_lib, "shim_" + name)(*args, ctypes.byref(out))
    if n < 0:
        raise Unmovable(_lib.shim_why().decode())
    return ctypes.string_at(out.value, n) if out.value else None


class Key:
    """What a client's proof left us: logs in where the same verifier is held. For Raw(login=…)."""

    def __init__(self, verifier, password):
        self.first = _call("scram_first", verifier.encode(), password.encode())

    def next(self, server_first):
        return _call("scram_next", server_first, len(server_first))

    def final(self, server_final):
        if _lib.shim_scram_final(server_final, len(server_final)) != 0:
            raise Unmovable(_lib.shim_why().decode())


def ask(raw, customs=(), locks=True, how="once"):
    """What the session behind `raw` says of itself: JSON as bytes. how: once; or keep, then again, the statement being kept."""
    raw.sock.sendall(_call("inspect", ord(how[0]), ",".join(customs).encode(), locks))
    rows = [body for kind, body in raw.ready() if kind == b"D"]
    assert len(rows) == 1, rows
    return rows[0][6:]


def forget(raw):
    """The statement kept goes."""
    raw.sock.sendall(_call("inspect", ord("f"), b"", False))
    raw.ready()


def unmovable(json):
    text = _call("unmovable", json, len(json))
    return text.decode() if text else None


def differs(a, b):
    text = _call("differs", a, len(a), b, len(b))
    return text.decode() if text else None


def rebuild(json, login, unnamed=None, side=SOURCE):
    return _call("rebuild", json, len(json), login.encode(), unnamed, len(unnamed or b""), side)


def load_types(source, target, db):
    """Reads both sides' types; whether all have the same numbers."""
    _lib.shim_types_none()
    text = "\n".join(l for l in (TREE / "sql" / "door_types.sql").read_text().splitlines() if not l.startswith("--"))
    for side, server in ((SOURCE, source), (TARGET, target)):
        for row in server.sql(text, db=db):
            assert _lib.shim_types_add(side, *(None if v is None else v.encode() for v in row)), row
    return bool(_lib.shim_types_seal())


def forget_types():
    _lib.shim_types_none()


def mapped(kind, body, side, types=(), formats=()):
    """A message's body with the other side's numbers in it."""
    block = ctypes.create_string_buffer(bytes(body), len(body))
    if _lib.shim_map(ord(kind), side, (ctypes.c_uint32 * (len(types) or 1))(*types), (ctypes.c_uint16 * (len(formats) or 1))(*formats),
                     len(types), block, len(body)) < 0:
        raise Unmovable(_lib.shim_why().decode())
    return block.raw
