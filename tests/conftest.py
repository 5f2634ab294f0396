"""conftest — what every scenario gets: servers, the program under test, and a time limit.

    def test_something(server, migration):
        old, new = server(13, "old"), server(17, "new")
        m = migration({"shop": (old.createdb("shop"), new.createdb("shop"))})
"""
import os
import pathlib
import signal
import sys
import threading

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))

import long_tail  # noqa: E402
import servers  # noqa: E402
from leat import Leat  # noqa: E402

# Processes die here, never the machine: what they wrote stays. Figures are taken on a disk (bench/).
servers.SETTINGS["fsync"], servers.in_memory = "off", True
LIMIT = 400   # a busy machine takes three times what an idle one does
SLOWER = int(os.environ.get("TEST_SLOWER", 1))   # a program that a sanitizer watches takes so many times as long
MERCY = 20   # beyond the limit


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What is named in tests/long-tail is `slow`."""
    names = long_tail.names()
    for item in items:
        if item.nodeid.removeprefix("tests/scenarios/") in names:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def server():
    """server(major, name, ...) makes a servers.Server that is gone after the test."""
    before = servers.existing()
    yield servers.Server
    for one in servers.existing():   # those made by basebackup() too
        if one not in before:
            one.destroy()


@pytest.fixture
def migration(tmp_path):
    """migration({store: (source, target)}, ...) makes a leat.Leat whose processes are gone after the test."""
    made = []

    def make(stores=None, **kwargs):
        made.append(Leat(tmp_path / f"migration{len(made)}", stores, **kwargs))
        return made[-1]
    yield make
    for one in made:
        one.close()


class OutOfTime(BaseException):
    """Not an Exception, so that no test's own handling swallows it."""


def show_activity():
    for one in servers.existing():
        print(f"--- {one.name}, PostgreSQL {one.major}, out of time:\n{one.activity()}", file=sys.stderr)


def unblock():
    """A test that waits for a statement's answer hears no signal: the servers are ended under it."""
    show_activity()
    for one in servers.existing():
        one.kill9()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """Ends a test that takes longer than its limit, with the place where it stood."""
    marker = item.get_closest_marker("limit")
    seconds = (marker.args[0] if marker else LIMIT) * SLOWER

    def out_of_time(*_):
        show_activity()
        raise OutOfTime(f"{item.name} took longer than its {seconds} s")
    before = signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    last_resort = threading.Timer(seconds + MERCY, unblock)
    last_resort.daemon = True
    last_resort.start()
    try:
        yield
    finally:
        last_resort.cancel()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
