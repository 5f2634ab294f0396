"""switching — bench/run's figures of the switch: what clients of a door see of it, there and back again and again under load."""
import collections
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

from clients import SCHEMA, Clients
from compare import compare
from follow import LEAT_TABLES
from leat import Leat, make_config
from servers import Server, _free_port, bin_dir, popen_mortal
from wait import wait_for

SWITCHES = int(os.environ.get("SWITCHES", "50"))
REHEARSED = 5   # of so many switches one is rehearsed just before
CLIENTS = int(os.environ.get("CLIENTS", "32"))
CLOSED, OPEN = 20 * CLIENTS, 100   # transactions a second wanted, of pgbench's clients and of the open-loop load
PART = 0.4   # of what the machine carries: much more, and what is measured is the queue before the switch


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def pgbench(*args):
    return popen_mortal([str(bin_dir(15) / "pgbench"), "-n", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def carried(door):
    """Transactions a second that these clients reach through the door when nothing holds them back, all else running."""
    out = pgbench("-N", "-c", CLIENTS, "-j", 2, "-T", 15, door).communicate()[0]
    return float(next(x for x in out.splitlines() if x.startswith("tps")).split()[2])


def transactions(logs):
    """(when it ended, its ms from when it was due) of pgbench's own logs (-l)."""
    rows = (line.split() for path in logs for line in path.read_text().splitlines())
    return [(int(f[4]) + int(f[5]) / 1e6, int(f[2]) / 1000) for f in rows if len(f) >= 6]   # the last line may be cut off


def longest_waits(seen):
    """The slowest transaction of each second."""
    worst = {}
    for ended, ms in seen:
        worst[int(ended)] = max(worst.get(int(ended), 0), ms)
    return list(worst.values())


def slowest_around(seen, rounds):
    """Of each switch the slowest transaction that ended from its command's beginning to a second after its end: what clients saw of all of it."""
    return [max((ms for ended, ms in seen if r["began"] <= ended <= r["ended"] + 1), default=0) for r in rounds]


def steps(answer):
    return {s["name"]: s["ms"] for s in answer["steps"]}


def busy(server):
    return server.one("select count(*) from pg_stat_activity where usename = 'app' and state <> 'idle'")


def await_level(server):
    """Until the load has caught up with its schedule: what a comparison of all rows, or the switch before, has put off is done."""
    looks = collections.deque(maxlen=20)

    def level():
        looks.append(busy(server) <= CLIENTS // 3)
        return len(looks) == 20 and all(looks)
    wait_for(level, 120, "the load to catch up", every=0.05)


def switch_rounds(m, clients, rounds, sides):
    found = []
    for n in range(rounds):
        await_level(sides[n % 2])
        rehearsed = m.run("rehearse", "--yes", timeout=180).json["runs"][0] if n % REHEARSED == 0 else None
        await_level(sides[n % 2])
        began = time.time()
        answer = m.run("cutover" if n % 2 == 0 else "rollback", "--yes", timeout=180).json
        found.append({"began": began, "ended": time.time(), "pause_ms": answer["pause_ms"], "rehearsed_ms": rehearsed and rehearsed["pause_ms"], "failed": answer["failed"], "held": answer["held"], "tries": answer["tries"], "asked": answer["asked"], "last_held": answer["last_held"], "steps": steps(answer),
                      "rehearsed_steps": rehearsed and steps(rehearsed)})
        before = clients.total()
        wait_for(lambda: clients.total() > before + 50, 60, "clients to go on", show=m.logs)
        if n % 2 == 1:
            m.run("verify")
    return found


def bench_switch(save):
    """SWITCHES switches (50) there and back under CLIENTS (32) pgbench clients, an open-loop load, and clients with a ledger outside."""
    with tempfile.TemporaryDirectory(prefix="leat-bench-") as folder, Server(13, "old", settings={"max_connections": "300"}) as old, Server(17, "new", settings={"max_connections": "300"}) as new:
        folder = pathlib.Path(folder)
        for s in (old, new):
            s.sql("create role leat login superuser")
            s.createdb("shop")
        old.sql("create role app login")
        subprocess.run([str(bin_dir(15) / "pgbench"), "-i", "-q", "-s", "20", old.dsn("shop")], check=True, capture_output=True)
        old.sql(SCHEMA + "grant all on all tables in schema public to app; grant all on all sequences in schema public to app", db="shop")
        port = _free_port()
        config = make_config({"shop": (old.dsn("shop", user="leat"), new.dsn("shop", user="leat"))}, migration="bench")
        config += f"    door: 127.0.0.1:{port}\n    door_trust: [127.0.0.1/32]\ngates:\n  rehearsals: 3\n  pause: 5s\n"
        door = f"postgresql://app@127.0.0.1:{port}/shop"
        m = Leat(folder / "m", config=config)
        try:
            m.run("start", "--yes")
            m.wait_status(lambda s: s["stores"][0].get("following"), 120, "following")
            with Clients([door], count=4, pause=0.05) as clients:
                most = carried(door)
                share = min(1.0, PART * most / (CLOSED + OPEN))
                loads = [pgbench("-N", "-c", count, "-j", 2, "-R", max(1, round(share * rate)), "-T", 3600, "-l", "--log-prefix", folder / name, door)
                         for name, count, rate in (("closed", CLIENTS, CLOSED), ("open", 4, OPEN))]
                before = clients.total()
                wait_for(lambda: clients.total() > before + 100, 60, "the load")
                rehearsed = m.run("rehearse", "--times", "3", "--yes", timeout=180).json
                m.run("verify")
                rounds = switch_rounds(m, clients, SWITCHES, (old, new))
            died = [load.poll() for load in loads]
            for load in loads:
                load.terminate()
            if died != [None, None]:
                raise RuntimeError([load.communicate()[1][-2000:] for load in loads])
            wait_for(lambda: not compare(old.dsn("shop"), new.dsn("shop"), sequences=None, skip=LEAT_TABLES), 60, "both sides to be equal", show=m.logs)
            wrong = clients.check(old.conn("shop")) + clients.check(new.conn("shop"))
            seen = transactions(folder.glob("*.*"))
        finally:
            m.run("stop", "--doors", check=False)
            m.close()
    pauses = [r["pause_ms"] for r in rounds]
    foretold = [r["pause_ms"] for r in rehearsed["runs"]] + [r["rehearsed_ms"] for r in rounds if r["rehearsed_ms"]]
    predictions = [r["pause_ms"] / r["rehearsed_ms"] for r in rounds if r["rehearsed_ms"]]
    waits, around = longest_waits(seen), slowest_around(seen, rounds)
    medians = {
        "pause_ms": {"p50": statistics.median(pauses), "p99": quantile(pauses, 0.99), "max": max(pauses)},
        "slowest_transaction_around_a_switch_ms": {"p50": statistics.median(around), "p99": quantile(around, 0.99), "max": max(around)},
        "transaction_ms_worst_of_a_second": {"p50": statistics.median(waits), "max": max(waits)} if waits else None,
        "pause_over_rehearsal_medians": statistics.median(pauses) / statistics.median(foretold),
        "pause_over_its_rehearsal": {"p50": statistics.median(predictions), "min": min(predictions), "max": max(predictions)},
        "steps_ms": {name: statistics.median(r["steps"][name] for r in rounds) for name in rounds[0]["steps"]},
        "failed": sum(r["failed"] for r in rounds), "errors": len(clients.errors), "lost_or_doubled": len(wrong),
    }
    save("switch", {"what": f"{len(rounds)} switches there and back, {CLIENTS + 8} clients of one door on the same machine as both servers", "carried_tps": round(most), "load_tps": round(share * (CLOSED + OPEN)), "acknowledged": clients.total(), "tries": sum(r["tries"] for r in rounds),
                    "rehearsed_first_ms": [r["pause_ms"] for r in rehearsed["runs"]], "errors": clients.errors[:10], "lost_or_doubled": wrong[:10], "rounds": rounds, "medians": medians})
