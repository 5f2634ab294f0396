"""share — a pytest plugin (-p share): TEST_SHARE=K/N runs every Nth test from the Kth on, so that N runs beside each other are all.
The test that runs is named in the file TEST_RUNNING, for whoever must end them all."""
import os
import pathlib

import pytest


@pytest.hookimpl(trylast=True)   # of those that are left
def pytest_collection_modifyitems(items):
    k, n = map(int, os.environ["TEST_SHARE"].split("/"))
    items[:] = items[k::n]


def pytest_runtest_logstart(nodeid):
    pathlib.Path(os.environ["TEST_RUNNING"]).write_text(nodeid)
