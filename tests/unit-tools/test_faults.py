"""docs/faults.md says what tests/lib/faults.py says, and that names tests that are there."""
import pathlib
import re
import sys

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests" / "lib"))

import faults  # noqa: E402


def test_the_table_is_current():
    assert (TREE / "docs" / "faults.md").read_text() == faults.render(), "run: python3 tests/lib/faults.py >docs/faults.md"


@pytest.mark.parametrize("fault", faults.FAULTS, ids=lambda f: f.name)
def test_a_fault_names_its_tests_and_codes(fault):
    assert fault.outcome and set(fault.outcome) <= set(faults.PHASES) and fault.tests
    for test in fault.tests:
        file, function = test.split("::")
        assert f"def {function}(" in (TREE / "tests" / "scenarios" / file).read_text(), test
    codes = re.findall(r'^X\(\w+, "([\w-]+)"', (TREE / "src" / "base" / "errors.def").read_text(), re.M)
    assert set(re.findall(r"`([\w-]+)`", " ".join(fault.outcome.values()).replace("`leat", ""))) <= set(codes)


def test_no_fault_is_there_twice():
    names = [f.name for f in faults.FAULTS]
    assert len(names) == len(set(names))
