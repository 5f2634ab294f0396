"""tools/check is fed, in a small tree of its own, one of each thing it must catch."""
import pathlib
import shutil
import subprocess

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]

UNIT = """
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
static int shared;
static void *work(void *p)
{
    shared++;
    return p;
}
static void test_good(void **state)
{
    assert_null(work(NULL));
}
static void test_planted(void **state)
{
    volatile int n = 1;
    pthread_t thread;
    char *p = malloc(8);
    assert_int_equal(pthread_create(&thread, NULL, work, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    %s
    free(p);
    assert_int_equal(n, n);
}
int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_planted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
"""
RACE = """pthread_create(&thread, NULL, work, NULL);
    work(NULL);
    pthread_join(thread, NULL);"""
TARGET = """
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == 'x')
        abort();
    return 0;
}
"""


@pytest.fixture
def small(tmp_path):
    shutil.copytree(TREE / "tools", tmp_path / "tools")
    for name in ("meson.build", "tests/meson.build", "tests/fuzz/replay.c", "src/base/banned.h", "pytest.ini", ".ci/run"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TREE / name, tmp_path / name)
    (tmp_path / "tests" / "lib").mkdir(parents=True)
    shutil.copy(TREE / "tests" / "lib" / "share.py", tmp_path / "tests" / "lib")
    put(tmp_path, "sql/one.sql", "select 1\n")
    put(tmp_path, "src/base/one.c", "int one(void);\nint one(void)\n{\n    return 1;\n}\n")
    put(tmp_path, "src/cli/main.c", "int main(void)\n{\n    return 0;\n}\n")
    put(tmp_path, "tests/unit/test_one.c", UNIT % "")
    put(tmp_path, "tests/fuzz/fuzz_one.c", TARGET)
    put(tmp_path, "tests/fuzz/corpus/one/a", "abc")
    return tmp_path


def put(folder, name, text):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def check(folder, *stages):
    done = subprocess.run([folder / "tools" / "check", *stages], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout, done.stdout.splitlines()[-1]


def test_all_is_well(small):
    put(small, "tests/scenarios/test_a.py", "import pytest\ndef test_a(): pass\ndef test_b(): pass\ndef test_c(): pytest.skip('x')\n")
    status, out, last = check(small, "build", "units", "asan", "tsan", "scenarios")
    assert (status, last) == (0, "5 passed, 0 failed"), out
    assert "tsan        ok          2 passed" in out and "asan        ok          3 passed" in out, out


@pytest.mark.parametrize("stages, name, text, said", (
    (["build"], "src/base/two.c", "int two(void);\nint two(void)\n{\n    int unused;\n    return 2;\n}\n", "unused variable"),
    (["asan"], "src/base/two.c", "int two(int a);\nint two(int a)\n{\n    return a == a;\n}\n", "self-comparison always"),
    (["build", "units"], "tests/unit/test_one.c", UNIT % "assert_int_equal(n, 2);", "test_planted"),
    (["build", "units"], "tests/unit/test_one.c", UNIT % "abort();", "test_one"),
    (["build", "units"], "tests/fuzz/corpus/one/b", "xyz", "replay_one"),
    (["build", "units"], "tests/fuzz/fuzz_two.c", TARGET, "no corpus"),
    (["asan"], "tests/unit/test_one.c", UNIT % "char *volatile q = p; n = q[7 + n];", "heap-buffer-overflow"),
    (["asan"], "tests/unit/test_one.c", UNIT % "n = (int)strtol(\"2147483647\", NULL, 10); n++;", "signed integer overflow"),
    (["asan"], "tests/unit/test_one.c", UNIT % "*(volatile char *)p = 1; p = malloc((size_t)n);", "detected memory leaks"),
    (["build", "tsan"], "tests/unit/test_one.c", UNIT % RACE, "data race"),
    (["model"], "spec/switch.pml", "bit = 1\n", "failed: check-model: there-and-back"),
    (["scenarios"], "tests/scenarios/test_a.py", "def test_a(): assert False\ndef test_b(): pass\n", "failed: tests.scenarios.test_a::test_a: assert False"),
), ids=lambda x: "" if isinstance(x, str) else "+".join(x))
def test_what_is_planted_is_caught(small, stages, name, text, said):
    put(small, name, text)
    status, out, last = check(small, *stages)
    assert status == 1 and said in out and f"failed: stage {stages[-1]}:" in out, out
    assert int(last.split(", ")[1].split()[0]) >= 1, last


def test_scenarios_that_never_end_are_ended(small, monkeypatch):
    put(small, "tests/scenarios/test_a.py", "import threading\ndef test_a(): threading.Event().wait()\n")
    monkeypatch.setenv("SCENARIO_SECONDS", "2")
    status, out, last = check(small, "scenarios")
    assert (status, last) == (1, "0 passed, 1 failed") and "was ended after 2 s, in tests/scenarios/test_a.py::test_a" in out, out


def test_later_stages_do_not_run_and_files_that_came_are_built(small):
    assert check(small, "build", "units")[2] == "3 passed, 0 failed"
    put(small, "tests/unit/test_two.c", UNIT % "assert_int_equal(n, 2);")
    status, out, last = check(small, "build", "units", "asan")
    assert (status, last) == (1, "4 passed, 1 failed") and "asan        not run" in out, out


def test_a_stage_of_another_name_is_refused(small):
    status, out, _ = check(small, "unitz")
    assert status == 1 and "no such stage: unitz" in out
