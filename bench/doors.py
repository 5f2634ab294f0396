"""doors — bench/run's figures of the SQL door: beside PgBouncer and the bare server, and what idle sessions cost."""
import collections
import os
import pathlib
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from door import Door
from processes import cpu_seconds, thread_seconds, threads_named
from rawpg import Raw
from servers import Server, _as_user, _free_port, bin_dir, popen_mortal
from wait import wait_for

ROUNDS = int(os.environ.get("ROUNDS", "3"))
SECONDS = int(os.environ.get("SECONDS_EACH", "8"))
FEW, MANY = 8, int(os.environ.get("MANY", "1000"))
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
IDLE = min(int(os.environ.get("IDLE", "10000")), FILES // 3 - 100)   # a door keeps three files for each: one for a switch
QUOTA = 0.1   # of a core, for each thread, where they are compared
GROUPS = pathlib.Path("/sys/fs/cgroup/cpu")
SPARE = 3 << 30   # memory that idle sessions leave to the machine: each is a server process
MODES = ("simple", "extended", "prepared")


def memory(pid):
    """Of its own, in bytes: what is not shared with other processes."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(n) << 10 for n in re.findall(r"^Private_\w+:\s+(\d+)", text, re.M))


def available():
    return int(re.search(r"MemAvailable:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) << 10


class PgBouncer:
    """In session mode: as faithful as a door, and as quick as it gets."""

    def __init__(self, folder, server):
        self.port = _free_port()
        folder.mkdir()
        folder.chmod(0o755)
        ini = folder / "pgbouncer.ini"
        ini.write_text(f"[databases]\nbench = host=127.0.0.1 port={server.port} dbname=bench user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\n"
                       f"auth_type = any\npool_mode = session\nmax_client_conn = {IDLE + 100}\ndefault_pool_size = {IDLE + 100}\nunix_socket_dir =\nlog_connections = 0\nlog_disconnections = 0\n")
        self.process = popen_mortal(["pgbouncer", "-q", ini], user=_as_user(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", self.port)) == 0, 20, "PgBouncer to listen")

    def close(self):
        self.process.terminate()
        self.process.wait(10)


def fill(port):
    """As many sessions at once as there will be, each of which has asked something: PgBouncer makes its connections one after the other, and under load has
    not made them all by the end of a run. It would be measured with half of the clients, the others waiting."""
    sessions = [Raw(port, db="bench") for _ in range(MANY)]
    for s in sessions:
        s.sql("select 1")
    for s in sessions:
        s.close()
    time.sleep(1)


def steady(folder, sampled):
    """Of the last six tenths of the run, by pgbench's logs: transactions per second, p50 and p99 in ms, and of the clients the tenth that had the fewest
    against the median. A fresh server process reads catalogs for its first transaction, and PgBouncer hands on processes of the run before."""
    seen = sorted((int(f[4]) + int(f[5]) / 1e6, int(f[2]) / 1000, path.name + " " + f[0])
                  for path in folder.glob("log*") for f in map(str.split, path.read_text().splitlines()) if len(f) >= 6)
    first, last = seen[0][0], seen[-1][0]
    since = first + 0.4 * (last - first)
    steadily = [one for one in seen if one[0] >= since]
    taken = sorted(ms for _, ms, _ in steadily)
    served = sorted(collections.Counter(client for _, _, client in steadily).values())
    return len(taken) / sampled / (last - since), taken[len(taken) // 2], taken[int(len(taken) * 0.99)], served[len(served) // 10] / served[len(served) // 2]


def pgbench(port, mode, clients):
    """How many transactions there were in all, and what steady() says."""
    sampled = 0.2 if clients < 100 else 1
    with tempfile.TemporaryDirectory() as folder:
        out = subprocess.run([str(bin_dir(15) / "pgbench"), "-n", "-S", "-M", mode, "-c", str(clients), "-j", "2", "-T", str(SECONDS * (3 if clients == MANY else 1)), "-l", f"--log-prefix={folder}/log",
                              f"--sampling-rate={sampled}", f"postgresql://postgres@127.0.0.1:{port}/bench"], check=True, capture_output=True, text=True).stdout
        assert "number of failed transactions: 0" in out and re.search(r"tps = \d", out), out
        return int(re.search(r"actually processed: (\d+)", out)[1]), *steady(pathlib.Path(folder), sampled)


def measure(port, pid, mode, clients):
    before = cpu_seconds(pid) if pid else 0
    count, tps, p50, p99, fewest = pgbench(port, mode, clients)
    return {"tps": round(tps), "p50": p50, "p99": p99, "p99/p50": round(p99 / p50, 2), "fewest": round(fewest, 2), "cpu_us": round((cpu_seconds(pid) - before) * 1e6 / count, 1) if pid else None}


def threads_alone(folder, old, new):
    """What more threads give where the door is the bottleneck. A machine of two cores has none to spare for it: each of its threads may use so much of a
    core as QUOTA says, no more (the cpu controller of cgroup v1), and that is what saturates. {threads: transactions per second, ...}"""
    if not os.access(GROUPS, os.W_OK):
        return f"not measured: no {GROUPS} to write to"
    return {threads: one_alone(folder / f"door{threads}", old, new, threads) for threads in (1, 2, 4)}


def one_alone(folder, old, new, threads):
    groups = []
    try:
        with Door(folder, old.dsn("bench"), new.dsn("bench"), limits=f"limits:\n  door_threads: {threads}\n") as door:
            workers = threads_named(door.process.pid, "clients")
            assert len(workers) == threads
            groups.extend(map(slow, workers))
            one = measure(door.port, door.process.pid, "prepared", FEW * 8)
            used = [thread_seconds(door.process.pid, thread) for thread in workers]
    finally:
        for group in groups:
            group.rmdir()
    return {"tps": one["tps"], "cpu_us": one["cpu_us"], "of_its_quota": [round(s / SECONDS / QUOTA, 2) for s in used]}


def slow(thread):
    group = GROUPS / str(thread)
    group.mkdir()
    (group / "cpu.cfs_period_us").write_text("10000")
    (group / "cpu.cfs_quota_us").write_text(str(round(10000 * QUOTA)))
    (group / "tasks").write_text(str(thread))
    return group


def idle(port, pid):
    """Bytes per idle session, and of all; as many as the machine has memory for."""
    sessions, before, began = [], memory(pid), time.monotonic()
    while len(sessions) < IDLE and (len(sessions) % 100 or available() > SPARE):
        sessions.append(Raw(port, db="bench"))
    took, after = time.monotonic() - began, memory(pid)
    for s in sessions:
        s.close()
    return {"sessions": len(sessions), "bytes_each": round((after - before) / len(sessions)), "mb": round(after / 1e6, 1), "connects_per_second": round(len(sessions) / took)}


def bench_door(save):
    if shutil.which("pgbouncer") is None:
        sys.exit("door: PgBouncer is what it is measured against, and is not here: apt-get install pgbouncer (its service need not run), then again")
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    settings = {"max_connections": str(IDLE + MANY + 200), "shared_buffers": "512MB", "max_wal_senders": "0", "max_files_per_process": "100"}
    rounds = []
    with tempfile.TemporaryDirectory(prefix="leat-bench-") as folder, Server(15, "old", settings=settings) as old, Server(15, "new") as new:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        old.createdb("bench")
        subprocess.run([str(bin_dir(15) / "pgbench"), "-i", "-q", "-s", "10", old.dsn("bench")], check=True, capture_output=True)
        bouncer = PgBouncer(folder / "pgbouncer", old)
        with Door(folder / "door", old.dsn("bench"), new.createdb("bench"), limits=f"limits:\n  door_clients: {IDLE + 100}\n  door_threads: 1\n") as door:
            contenders = {"direct": (old.port, None), "pgbouncer": (bouncer.port, bouncer.process.pid), "door": (door.port, door.process.pid)}
            fill(bouncer.port)
            for n in range(ROUNDS):
                one = {}
                for clients in (FEW, MANY):
                    for mode in MODES:
                        names = list(contenders) if n % 2 == 0 else list(reversed(contenders))
                        one[f"{mode}, {clients}"] = {name: measure(*contenders[name], mode, clients) for name in names}
                        print(f"  round {n + 1}, {mode}, {clients} clients: " + "; ".join(f"{k} {v['tps']} tps, {v['cpu_us']} us, p99/p50 {v['p99/p50']}, fewest {v['fewest']}"
                                                                                         for k, v in one[f"{mode}, {clients}"].items()), flush=True)
                rounds.append(one)
            cost = {name: idle(*contenders[name]) for name in ("door", "pgbouncer")}
            print(f"  idle: {cost}", flush=True)
        bouncer.close()
        threads = threads_alone(folder, old, new)
        print(f"  threads: {threads}", flush=True)
    kinds = list(rounds[0])

    def ratio(kind, key, left, right):
        return round(statistics.median(r[kind][left][key] / r[kind][right][key] for r in rounds), 3)
    medians = {**{f"door/pgbouncer, tps, {k}": ratio(k, "tps", "door", "pgbouncer") for k in kinds}, **{f"door/direct, tps, {k}": ratio(k, "tps", "door", "direct") for k in kinds},
               **{f"door/pgbouncer, cpu, {k}": ratio(k, "cpu_us", "door", "pgbouncer") for k in kinds},
               **{f"{c}, p99/p50, {k}": statistics.median(r[k][c]["p99/p50"] for r in rounds) for k in kinds for c in ("direct", "pgbouncer", "door")},
               **{f"{c}, fewest, {k}": statistics.median(r[k][c]["fewest"] for r in rounds) for k in kinds if str(MANY) in k for c in ("direct", "pgbouncer", "door")},
               **{f"idle, {k}": v for k, v in cost.items()}, "threads, each of a tenth of a core": threads}
    save("door", {"what": f"pgbench -S, {SECONDS} s each, one thread of the door, PgBouncer 1.18 in session mode; server, load and both proxies on one machine", "rounds": rounds, "medians": medians})
