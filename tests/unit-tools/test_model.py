"""tools/check-model is fed models that are broken, mutants that change nothing, and searches that are cut short."""
import pathlib
import shutil
import subprocess

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def check(tmp_path):
    shutil.copytree(TREE / "tools", tmp_path / "tools")
    shutil.copytree(TREE / "spec", tmp_path / "spec")

    def run(*rows, before=""):
        path = tmp_path / "spec" / "switch.pml"
        path.write_text(before + path.read_text())
        done = subprocess.run([tmp_path / "tools" / "check-model", *rows], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, done.stdout
    return run


def test_the_model_holds_and_its_mutants_do_not(check):
    status, out = check("ends-consent", "door-reads", "is-there-and-back")
    assert status == 0 and out.endswith("3 passed, 0 failed\n"), out


@pytest.mark.parametrize("row, mutant, said", (
    ("consent", "DOOR_READS", "I4 is broken"),
    ("ends-failover", "GATE_UNCONFIRMED", "I6 is broken"),
    ("ends-consent", "DOORS_CANNOT_OPEN", "is broken"),
), ids=lambda x: x)
def test_a_broken_model_is_refused(check, row, mutant, said):
    status, out = check(row, before=f"#define {mutant}\n")
    assert status == 1 and said in out and out.endswith("0 passed, 1 failed\n"), out


@pytest.mark.parametrize("row, before, said", (
    ("door-reads", "#undef DOOR_READS\n", "holds; expected: I4"),
    ("decide-outside", "#undef DECIDE_OUTSIDE\n#define TARGET_UNFENCED\n", "I1 is broken; expected: I2"),
    ("is-there-and-back", "#undef WITNESS\n", "holds; expected: witness"),
    ("consent", "bit = 1\n", "spin: "),
), ids=lambda x: x.split("\n")[0])
def test_what_proves_nothing_is_refused(check, row, before, said):
    status, out = check(row, before=before)
    assert status == 1 and said in out, out


@pytest.mark.parametrize("limit", ("DEPTH, MEMORY_MB, SECONDS = 100, 3500, 300", "DEPTH, MEMORY_MB, SECONDS = 20000, 40, 300"), ids=("depth", "memory"))
def test_a_search_cut_short_is_refused(check, tmp_path, limit):
    tool = tmp_path / "tools" / "check-model"
    text = tool.read_text()
    assert "DEPTH, MEMORY_MB, SECONDS = 20000, 3500, 300" in text
    tool.write_text(text.replace("DEPTH, MEMORY_MB, SECONDS = 20000, 3500, 300", limit))
    status, out = check("consent")
    assert status == 1 and "pan did not come to an end" in out, out


def test_a_row_of_another_name_is_refused(check):
    status, out = check("consents")
    assert status == 1 and "no such row: consents" in out
