"""leat — runs the program under test: one migration, its leat.yaml and state folder in a folder of its own.

    m = Leat(tmp_path, stores={"shop": (old.dsn("shop"), new.dsn("shop"))})
    result = m.run("doctor")               # fails the test unless the exit status is 0
    result = m.run("plan", check=False)    # result.status, result.json, result.err
    job = m.start_run("run", "--until", "replicate", "--yes")
    m.kill9("engine")

The binary is build/leat, or what LEAT names. Everything it left running is killed when the test ends (close()).
"""
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import uuid

from servers import TREE, popen_mortal
from wait import alive, wait_for, wait_gone

BINARY = pathlib.Path(os.environ.get("LEAT", TREE / "build" / "leat"))


@dataclasses.dataclass
class Result:
    args: list
    status: int
    out: str
    err: str

    @property
    def events(self):
        """Every JSON object of the output, one a line (long commands stream events)."""
        return _objects(self.out)

    @property
    def json(self):
        """The last JSON object: the command's answer."""
        events = self.events
        assert events, f"no JSON object in the output of {self}"
        return events[-1]

    def __str__(self):
        return f"leat {' '.join(self.args)} → exit {self.status}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def _objects(text):
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text):
        start = text.find("{", at)
        if start < 0:
            break
        try:
            value, at = decoder.raw_decode(text, start)
            found.append(value)
        except json.JSONDecodeError:
            newline = text.find("\n", start)
            at = len(text) if newline < 0 else newline + 1
    return found


class Leat:
    def __init__(self, folder, stores=None, config=None, include=None, extra="", migration="test", env=None):
        """stores: name → (source DSN, target DSN). config: the text of leat.yaml instead. extra: text put at its end."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config, self.state = self.folder / "leat.yaml", self.folder / ".leat"
        self.mark = f"LEAT_TEST={uuid.uuid4()}"   # in the environment of all its processes, orphans too
        self.env = {**os.environ, "NO_COLOR": "1", "LEAT_TEST": self.mark.split("=")[1], **(env or {})}
        self.jobs = []
        self.prefix = ()   # words before the binary's name: what runs it
        self.write(config if config is not None else make_config(stores or {}, include, extra, migration))

    def write(self, text):
        self.config.write_text(text)

    def command(self, *args, output="json"):
        return [*self.prefix, str(BINARY), "--config", str(self.config), "--state", str(self.state), "--output", output, *map(str, args)]

    def run(self, *args, check=True, timeout=120, output="json", input=None):
        """Runs to its end. check: True wants exit status 0, a number wants that one, False takes any."""
        done = subprocess.run(self.command(*args, output=output), cwd=self.folder, env=self.env, input=input, text=True,
                              stdin=None if input is not None else subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=timeout, check=False)
        result = Result([str(a) for a in args], done.returncode, done.stdout, done.stderr)
        if check is not False:
            want = 0 if check is True else check
            assert result.status == want, f"wanted exit status {want}: {result}"
        return result

    def start_run(self, *args, output="json"):
        """Starts a command that goes on by itself; a Job."""
        job = Job(self, args, output)
        self.jobs.append(job)
        return job

    def status(self, store=None):
        """`status` as JSON; of one store if named."""
        answer = self.run("status").json
        return answer if store is None else next(s for s in answer["stores"] if s["name"] == store)

    def wait_status(self, condition, deadline=120, what="the status"):
        """Until condition(status JSON) is true; gives that status."""
        seen = {}

        def holds():
            result = self.run("status", check=False)
            seen["last"] = str(result)
            answer = result.json if result.status == 0 else None
            return answer if answer and condition(answer) else None
        return wait_for(holds, deadline, what, show=lambda: seen.get("last", "") + self.logs())

    # -- its processes --

    def pids(self, role=None):
        """Live processes of our binary that this migration started, orphans too. role: only those with that word (engine,
        pilot, ...) among the first of their command line."""
        return sorted(p for p in _processes() if _is_binary(p) and _has_mark(p, self.mark) and (role is None or role in _words(p)[1:10]))

    def kill9(self, role=None, deadline=10):
        """SIGKILL to the processes of that role (all without one); waits until they are gone. Gives how many there were."""
        pids = self.pids(role)
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        for pid in pids:
            wait_gone(pid, deadline)
        return len(pids)

    def logs(self, size=3000):
        """The ends of the log files below the state folder: for error messages."""
        text = ""
        for path in sorted(self.state.rglob("*.log")):
            text += f"\n--- {path.name}\n" + path.read_bytes()[-size:].decode(errors="replace")
        return text

    def close(self):
        for job in self.jobs:
            job.kill9()
        self.kill9()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Job:
    """A leat command in the background."""

    def __init__(self, migration, args, output):
        self.migration, self.args = migration, [str(a) for a in args]
        n = len(migration.jobs)
        self.out_path, self.err_path = (migration.folder / f"job{n}.{x}" for x in ("out", "err"))
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.process = popen_mortal(migration.command(*args, output=output), cwd=migration.folder, env=migration.env,
                                        stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process.poll() is None

    def result(self):
        return Result(self.args, self.process.poll(), self.out_path.read_text(errors="replace"),
                      self.err_path.read_text(errors="replace"))

    def wait(self, deadline=300, check=True):
        wait_for(lambda: not self.running(), deadline, f"leat {' '.join(self.args)} to end", every=0.05, show=self.result)
        result = self.result()
        if check is not False:
            want = 0 if check is True else check
            assert result.status == want, f"wanted exit status {want}: {result}"
        return result

    def interrupt(self, deadline=60, check=5):
        """Ctrl-C; waits for its end (exit status 5: interrupted, resumable)."""
        _signal(self.pid, signal.SIGINT)
        return self.wait(deadline, check)

    def kill9(self):
        if self.running():
            self.process.kill()
            self.process.wait(10)


def make_config(stores, include=None, extra="", migration="test"):
    """A leat.yaml. Values are JSON strings, which YAML reads as they stand."""
    lines = [f"migration: {migration}", "stores:"]
    for name, (source, target) in stores.items():
        lines += [f"  {name}:", "    engine: postgresql", f"    source: {json.dumps(source)}", f"    target: {json.dumps(target)}"]
        if include:
            lines.append(f"    include: {json.dumps(include)}")
    return "\n".join(lines) + "\n" + extra


def _processes():
    return [int(p.name) for p in pathlib.Path("/proc").iterdir() if p.name.isdigit()]


def _read(pid, name):
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _has_mark(pid, mark):
    return mark in _read(pid, "environ").split("\0")


def _words(pid):
    return _read(pid, "cmdline").split("\0")


def _is_binary(pid):
    try:
        return alive(pid) and os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)") == str(BINARY.resolve())
    except OSError:
        return False


def _signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
