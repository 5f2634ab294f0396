"""memory — how much memory leat's processes took at most: VmHWM, which the kernel keeps, read while something runs.

    with Peaks(leat) as peaks:
        ...
    peaks.check(256 << 20)     # every engine and holder; processes that ended count too

A process that ends between two readings (ten a second) is seen as it was at the last one.
"""
import pathlib
import re
import threading

ROLES = ("engine", "holder", "pilot")


def high_water(pid):
    """Bytes; 0 when the process is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB", text, re.M)
    return int(found.group(1)) << 10 if found else 0


class Peaks:
    def __init__(self, leat):
        self.leat, self.by_role, self.stopping = leat, {}, threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def look(self):
        for role in ROLES:
            total = sum(high_water(pid) for pid in self.leat.pids(role))
            self.by_role[role] = max(self.by_role.get(role, 0), total)
        return self

    def _watch(self):
        while not self.stopping.wait(0.1):
            self.look()

    def engine(self):
        """All processes of the store: the engine, and the holder of its snapshots."""
        return self.by_role.get("engine", 0) + self.by_role.get("holder", 0)

    def check(self, limit):
        assert 0 < self.engine() <= limit, "engine %d MB, holder %d MB; the limit is %d MB" % tuple(
            x >> 20 for x in (self.by_role["engine"], self.by_role["holder"], limit))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.look()
        self.stopping.set()
        self.thread.join()
