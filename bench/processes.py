"""processes — processor time, as /proc has it."""
import os
import pathlib

HERTZ = os.sysconf("SC_CLK_TCK")


def ticks(path):
    """utime + stime, cutime + cstime, parent: of a process."""
    fields = path.read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14]), int(fields[1])


def thread_seconds(pid, thread):
    return ticks(pathlib.Path(f"/proc/{pid}/task/{thread}/stat"))[0] / HERTZ


def threads_named(pid, name):
    """The threads of that name."""
    return [int(path.name) for path in pathlib.Path(f"/proc/{pid}/task").iterdir() if (path / "comm").read_text().strip() == name]


def cpu_seconds(pid):
    """Of a process, without those it started."""
    return ticks(pathlib.Path(f"/proc/{pid}/stat"))[0] / HERTZ
