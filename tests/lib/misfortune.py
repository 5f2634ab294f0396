"""misfortune — what befalls servers and machines, for tests/lib/faults.py: a disk that is full, connections that are used up, a clock that is set,
another server at the old address.

    clock = Clock(tmp_path)                     # before leat starts: scene.leat.env.update(clock.env)
    clock.set(86400)                            # its wall clock jumps by a day
    with Disk(server) as disk:                  # new databases of the server stand on a disk of their own (root only: tmpfs)
        disk.fill(); disk.free()
    crowd = Crowd(server); crowd.come(); crowd.go()
    fail_over(scene)                            # a standby of the source, promoted, takes over the source's address
"""
import os
import pathlib
import pwd
import subprocess

import psycopg2

import servers
from wait import wait_for

HERE = pathlib.Path(__file__).resolve().parent


class Clock:
    def __init__(self, folder):
        self.file, library = folder / "shift", folder / "clock_shift.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "clock_shift.c")], check=True)
        self.set(0)
        self.env = {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(self.file)}

    def set(self, seconds):
        with open(self.file, "r+b" if self.file.exists() else "wb") as f:
            f.write(int(seconds).to_bytes(8, "little", signed=True))


class Disk:
    """The databases made from now on; the server's log and all else stand where they stood."""

    def __init__(self, server, megabytes=400):
        self.place, self.filler = server.home / "disk", server.home / "disk" / "filler"
        who = pwd.getpwnam(servers.UNPRIVILEGED)
        self.place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,uid={who.pw_uid},gid={who.pw_gid},mode=700", "tmpfs", str(self.place)], check=True)
        server.sql(f"create tablespace disk location '{self.place}'")
        server.sql("alter database template1 set tablespace disk")

    def fill(self, but=0):
        """All of it, but so many bytes; others may write meanwhile."""
        with open(self.filler, "wb") as f:
            step, size = 64 << 20, 0
            while step >= 4096:
                stat = os.statvfs(self.place)
                if stat.f_bfree * stat.f_frsize - but < step:
                    step //= 2
                    continue
                try:
                    os.posix_fallocate(f.fileno(), size, step)
                    size += step
                except OSError:
                    step //= 2

    def free(self):
        self.filler.unlink()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", str(self.place)], check=True)


class Crowd:
    """Takes every connection there is; leat's are ended, so that it has to ask for new ones."""

    def __init__(self, server):
        self.server, self.held = server, []

    def _take_all(self):
        while True:
            try:
                self.held.append(self.server.conn(autocommit=True))
            except psycopg2.OperationalError as e:
                assert "too many clients" in str(e) or "remaining connection slots" in str(e), e
                return

    def come(self):
        self._take_all()
        self.held[-1].cursor().execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'leat: %%'", ())
        self._take_all()

    def go(self):
        for conn in self.held:
            conn.close()
        self.held = []


def take_address(scene, which, other):
    """`other` is now the server at the address of scene.old or scene.new, which has stopped."""
    before = getattr(scene, which)
    other.port = before.port
    other.configure(port=before.port)
    other.start()
    setattr(scene, which, other)


def fail_over(scene):
    """Of a source that was stopped in order: its standby has all of it."""
    standby = scene.old.basebackup("standby")
    wait_for(lambda: scene.old.one("select count(*) from pg_stat_replication where application_name = 'standby' and state = 'streaming'") == 1, 30, "the standby to stream")
    scene.old.stop()
    standby.promote()
    standby.stop()
    take_address(scene, "old", standby)
