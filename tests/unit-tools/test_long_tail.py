"""tests/long-tail names tests that are there, and each has one like it that is always run: other parameters (or it runs under the sanitizers), or at
least the same file's others."""
import importlib.machinery
import importlib.util
import pathlib
import subprocess
import sys

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests" / "lib"))

import long_tail  # noqa: E402


def core():
    """What `tools/check core` runs under the sanitizers."""
    loader = importlib.machinery.SourceFileLoader("check", str(TREE / "tools" / "check"))
    check = importlib.util.module_from_spec(importlib.util.spec_from_loader("check", loader))
    loader.exec_module(check)
    return set(check.CORE)


def collected(*words):
    out = subprocess.run(["/usr/bin/python3", "-m", "pytest", "--collect-only", "-q", *words, "tests/scenarios"], cwd=TREE, check=True, capture_output=True, text=True).stdout
    return {line.removeprefix("tests/scenarios/") for line in out.splitlines() if "::" in line}


def test_the_long_tail_is_of_tests_that_are_there():
    names, slow = long_tail.names(), collected("-m", "slow")
    assert names <= slow, "no such test: " + ", ".join(names - slow)
    always = collected() | core()
    for name in names:
        file, function = name.split("[")[0].split("::")
        assert any(one.startswith(f"{file}::{function}[" if "[" in name else f"{file}::") for one in always), f"{name}: nothing like it is always run"
