"""tests/long-tail names tests that are there, and each has one like it that is always run: other parameters, or at least the same file's others."""
import pathlib
import subprocess

TREE = pathlib.Path(__file__).resolve().parents[2]


def collected(*words):
    out = subprocess.run(["/usr/bin/python3", "-m", "pytest", "--collect-only", "-q", *words, "tests/scenarios"], cwd=TREE, check=True, capture_output=True, text=True).stdout
    return {line.removeprefix("tests/scenarios/") for line in out.splitlines() if "::" in line}


def test_the_long_tail_is_of_tests_that_are_there():
    names = {line.strip() for line in (TREE / "tests" / "long-tail").read_text().splitlines() if line.strip() and not line.startswith("#")}
    assert names <= collected("-m", "slow"), "no such test: " + ", ".join(names - collected("-m", "slow"))
    always = collected()
    for name in names:
        file, function = name.split("[")[0].split("::")
        assert any(one.startswith(f"{file}::{function}[" if "[" in name else f"{file}::") for one in always), f"{name}: nothing like it is always run"
