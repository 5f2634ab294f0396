"""tests/long-tail names tests that are there, and each has one like it that is always run: other parameters, or at least the same file's others."""
import pathlib
import subprocess
import sys

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests" / "lib"))

import long_tail  # noqa: E402


def collected(*words):
    out = subprocess.run(["/usr/bin/python3", "-m", "pytest", "--collect-only", "-q", *words, "tests/scenarios"], cwd=TREE, check=True, capture_output=True, text=True).stdout
    return {line.removeprefix("tests/scenarios/") for line in out.splitlines() if "::" in line}


def test_the_long_tail_is_of_tests_that_are_there():
    names, slow = long_tail.names(), collected("-m", "slow")
    assert names <= slow, "no such test: " + ", ".join(names - slow)
    always = collected()
    for name in names:
        file, function = name.split("[")[0].split("::")
        assert any(one.startswith(f"{file}::{function}[" if "[" in name else f"{file}::") for one in always), f"{name}: nothing like it is always run"
