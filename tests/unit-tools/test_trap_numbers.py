#!/usr/bin/python3
"""Every trap of docs/traps.md, P1 to P35, is carried by a test: one whose name has its number (test_p07_..., several: test_p30_p31_...), whose
marker names it (@pytest.mark.trap("P7")), or, in tests/unit, one below a comment that begins with "Trap P7". And the table says which.

    tests/unit-tools/test_trap_numbers.py     writes the table's last column anew
"""
import ast
import pathlib
import re

TREE = pathlib.Path(__file__).resolve().parents[2]
NUMBERS = [f"P{n}" for n in range(1, 36)]
ROW = re.compile(r"^\| (P\d+) \| (.*?) \| (.*?) \|$", re.M)


def of_python(path, text):
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            numbers = {f"P{int(n)}" for n in re.findall(r"(?<=_)p(\d+)(?=_|$)", node.name)}
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.trap":
                    numbers |= {a.value for a in mark.args}
            for n in numbers:
                yield n, f"{path.stem}: {node.name}"


def of_c(path, text):
    for numbers, name in re.findall(r"^/\* Trap ((?:P\d+(?:, )?)+)[^/]*?\*/\nstatic void (\w+)\(", text, re.M):
        for n in numbers.split(", "):
            yield n, f"{path.stem}: {name}"


def carriers(tree):
    found = {}
    for folder, reader in (("tests/scenarios/test_*.py", of_python), ("tests/unit/test_*.c", of_c)):
        for path in sorted(tree.glob(folder)):
            for n, name in reader(path, path.read_text()):
                found.setdefault(n, []).append(name)
    return found


def cell(names):
    """Tests by file: test_follow: test_a, test_b; test_ddl: test_c."""
    files = {}
    for name in names:
        file, test = name.split(": ")
        files.setdefault(file, []).append(f"`{test}`")
    return "; ".join(f"{file}: {', '.join(tests)}" for file, tests in files.items())


def written(tree):
    text, found = (tree / "docs" / "traps.md").read_text(), carriers(tree)
    return text, ROW.sub(lambda m: f"| {m[1]} | {m[2]} | {cell(found.get(m[1], []))} |", text)


def test_every_number_is_carried_and_none_is_unknown():
    found = carriers(TREE)
    assert [n for n in NUMBERS if n not in found] == [], "no test carries these"
    assert [n for n in found if n not in NUMBERS] == [], "these are no traps"


def test_the_table_is_current():
    text, current = written(TREE)
    assert [m[1] for m in ROW.finditer(text)] == NUMBERS
    assert text == current, "docs/traps.md is not what the tests say: run tests/unit-tools/test_trap_numbers.py"


def test_what_is_planted_is_seen(tmp_path):
    for name, text in (("tests/scenarios/test_a.py", '@pytest.mark.trap("P7", "P99")\ndef test_x(): pass\ndef test_p03_p04(): pass\ndef p05(): pass\ndef test_up06(): pass\n'),
                       ("tests/unit/test_b.c", "/* Trap P23: across it. */\nstatic void wraps(void **state)\n/* P24 */\nstatic void no(void **state)\n"),
                       ("docs/traps.md", "| P7 | keys | nothing |\n| P8 | rows | test_gone: `test_gone` |\n")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert carriers(tmp_path) == {"P7": ["test_a: test_x"], "P99": ["test_a: test_x"], "P3": ["test_a: test_p03_p04"], "P4": ["test_a: test_p03_p04"], "P23": ["test_b: wraps"]}
    assert written(tmp_path)[1] == "| P7 | keys | test_a: `test_x` |\n| P8 | rows |  |\n"


if __name__ == "__main__":
    (TREE / "docs" / "traps.md").write_text(written(TREE)[1])
