"""Every gate of the house is fed what it must refuse, and what it must let pass."""
import pathlib
import shutil
import subprocess

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]


def run(tool, folder):
    done = subprocess.run([TREE / "tools" / tool, folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def tree(tmp_path, files):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


# ---- check-layers -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("files, said", (
    ({"base/a.c": '#include "store/s.h"\n'}, "store stands after base"),
    ({"replicate/a.h": '#  include "verify/v.h"\n'}, "verify stands after replicate"),
    ({"odd/a.c": ""}, "is in no layer"),
    ({"a.c": ""}, "is in no layer"),
    ({"base/a.c": '#include "b.h"\n'}, "does not begin with a layer"),
    ({"base/a.c": '#include "../wire/b.h"\n'}, "does not begin with a layer"),
    ({"cli/run.c": '#include "store/postgres/pg.h"\n'}, "only through pilot"),
    ({"web/api.c": '#include "wire/pgwire.h"\n'}, "only through pilot"),
    ({"base/a.h": '#include "base/b.h"\n', "base/b.h": '#include "base/c.h"\n', "base/c.h": '#include "base/a.h"\n'}, "a circle"),
), ids=lambda x: x if isinstance(x, str) else "")
def test_layers_refuses(tmp_path, files, said):
    status, out = run("check-layers", tree(tmp_path, files))
    assert status == 1 and said in out, out


def test_layers_lets_pass(tmp_path):
    files = {"base/a.h": "#include <stdio.h>\n", "store/postgres/p.c": '#include "base/a.h"\n#include "sql_embedded.h"\n',
             "cli/main.c": '#include "store/postgres/p.h"\n#include "pilot/p.h"\n', "cli/run.c": '#include "journal/j.h"\n',
             "base/list.h": '#include "base/list.def"\n', "base/list.def": ""}
    assert run("check-layers", tree(tmp_path, files)) == (0, "")


# ---- check-size ---------------------------------------------------------------------------------------------------

def function(lines):
    return "int f(void)\n{\n" + "    g();\n" * (lines - 2) + "}\n"


DEEP = "int f(void)\n{\n" + "".join("    " * n + "if (x) {\n" for n in range(1, 7)) + "    " * 7 + "g();\n" + \
    "".join("    " * n + "}\n" for n in range(6, 0, -1)) + "}\n"


@pytest.mark.parametrize("name, text, said", (
    ("src/base/a.c", "int x;\n" * 801, "801 lines"),
    ("src/base/a.c", function(81), "a function of 81 lines"),
    ("src/base/a.h", "static inline int f(void) {\n" + "    g();\n" * 90 + "}\n", "a function of 92 lines"),
    ("tests/unit/test_a.c", "/* {{{ */\n" + DEEP, "nested 6 deep"),
    ("tests/lib/a.py", "def f():\n" + "    x = 1\n" * 80, "a function of 81 lines"),
    ("tools/a", "#!/usr/bin/python3\n" + "def f():\n" + "".join("    " * n + "if x:\n" for n in range(1, 7)) + "    " * 7 + "y()\n", "nested 6 deep"),
), ids=("file", "function", "inline", "nesting", "python", "python nesting"))
def test_size_refuses(tmp_path, name, text, said):
    status, out = run("check-size", tree(tmp_path, {name: text}))
    assert status == 1 and said in out, out


def test_size_lets_pass(tmp_path):
    table = "static const int table[] =\n{\n" + "    {{{{{{1}}}}}},\n" * 100 + "};\n"
    strings = 'int f(void)\n{\n    g("{{{{{{{", \'{\', "\\"{{{{{{"); /* {{{{{{{ */ // {{{{{{{\n}\n'
    chain = "def f():\n    if a:\n        x()\n" + "    elif b:\n        x()\n" * 10
    files = {"src/a.c": function(80) * 9, "src/b.c": table, "src/c.c": strings, "tools/d.py": chain, "docs/e.md": "x\n" * 900}
    assert run("check-size", tree(tmp_path, files)) == (0, "")


# ---- check-tree ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, text, said", (
    ("docs/a.md", "x\nsee /wo" "rk/main/src\n", "a.md:2: a path of one machine"),
    ("tests/lib/a.py", 'open("/ro' 'ot/x")\n', "a path of one machine"),
    ("a.c", '"/ho' 'me/someone/x"\n', "a path of one machine"),
    ("package-lock.json", '"resolved": "https://regi' 'stry.example.org/x.tgz"\n', "the host of a registry"),
    ("tools/a", "curl http://deb.deb" "ian.org/x\n", "the host of a registry"),
    ("src/a.c", "/* TO" "DO: later */\n", "a note to self"),
    ("tests/scenarios/test_a.py", "time.sle" "ep(1)\n", "sleeping"),
    ("tests/unit/test_a.c", "    usle" "ep(1000);\n", "sleeping"),
    ("tests/soak/run", "sle" "ep 5\n", "sleeping"),
    ("tests/soak/run", "while true; do sle" "ep 0.1; done\n", "sleeping"),
))
@pytest.mark.parametrize("with_git", (False, True))
def test_tree_refuses(tmp_path, name, text, said, with_git):
    folder = tree(tmp_path, {name: text})
    if with_git:
        subprocess.run(["git", "init", "-q", folder], check=True)
    status, out = run("check-tree", folder)
    assert status == 1 and said in out, out


def test_tree_lets_pass(tmp_path):
    files = {"docs/a.md": "the network/root, ~/work, a.b/work, https://example.org/work, mktemp -d x.XXXXXX\n",
             "tests/lib/wait.py": "time.sle" "ep(every)\n", "src/base/world.c": "usle" "ep(us);\n",
             "tests/unit/test_b.c": 'spawn("sh", "-c", "trap x; sle' 'ep 9");\n', "tests/sleepless.py": "asleep = 1\n"}
    folder = tree(tmp_path, files)
    (folder / "golden.bin").write_bytes(b"\xff\xfe/ro" b"ot/x")
    assert run("check-tree", folder) == (0, "")


# ---- set-up -------------------------------------------------------------------------------------------------------

@pytest.fixture
def clone(tmp_path):
    """A tree with the set-up programs alone, and a folder of commands that stands first in PATH."""
    (tmp_path / "clone").mkdir()
    shutil.copytree(TREE / "tools", tmp_path / "clone" / "tools")
    (tmp_path / "bin").mkdir()
    return tmp_path


def fake(folder, name, text):
    path = folder / "bin" / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def run_setup(folder, *args):
    done = subprocess.run([folder / "clone" / "tools" / args[0], *args[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, env={"PATH": f"{folder / 'bin'}:/usr/bin:/bin"})
    return done.returncode, done.stdout


def test_setup_says_clearly_when_nobody_can_install(clone):
    fake(clone, "dpkg-query", "echo 'ii  gcc'\n")
    fake(clone, "id", "echo 1000\n")
    fake(clone, "sudo", "exit 1\n")
    fake(clone, "apt-get", "echo called; exit 1\n")
    status, out = run_setup(clone, "setup", "packages")
    assert status == 1 and "only root can install them" in out and "meson" in out and "called" not in out, out


def test_setup_installs_what_is_missing_and_no_cluster(clone):
    no_main = "/etc/postgresql-common/createcluster.d/leat-setup.conf"
    shutil.copy(TREE / "tools" / "packages", clone / "packages")
    fake(clone, "dpkg-query", f"sed -e 's/#.*//' -e '/^ *$/d' -e 's/^/ii  /' {clone}/packages | grep -v 'meson\\|postgresql' ; cat {clone}/more 2>/dev/null\n")
    fake(clone, "id", "echo 0\n")
    for name in ("node", "npm", "mkdir", "rm"):
        fake(clone, name, "")
    fake(clone, "tee", f'cat >"{clone}/no_main"; echo "$1" >"{clone}/no_main_path"\n')
    fake(clone, "apt-get", f'echo "apt-get $*"; case "$*" in *install*) printf "ii  meson\\nii  postgresql-15\\nii  postgresql-client-15\\n" >{clone}/more;; esac\n')
    status, out = run_setup(clone, "setup", "packages")
    assert status == 0 and "--no-install-recommends meson postgresql-15 postgresql-client-15\n" in out, out
    assert (clone / "no_main").read_text() == "create_main_cluster = false\n" and (clone / "no_main_path").read_text().strip() == no_main
    status, out = run_setup(clone, "setup", "packages")
    assert (status, out) == (0, "setup: Debian packages: all there\n")


def lock(clone, integrity):
    (clone / "clone" / "tools" / "servers.lock").write_text(f"# pins\n99 99.1.0 {integrity}\n")


def fake_package(clone):
    """npm and node that give a package without a network."""
    folder = clone / "made" / "package"
    (folder / "native" / "bin").mkdir(parents=True)
    (folder / "native" / "bin" / "postgres").write_text("#!/bin/sh\n")
    (folder / "native" / "bin" / "postgres").chmod(0o755)
    subprocess.run(["tar", "-czf", clone / "made.tgz", "-C", clone / "made", "package"], check=True)
    fake(clone, "npm", f"echo called >>{clone}/npm-calls; cp {clone}/made.tgz made.tgz; echo made.tgz\n")
    fake(clone, "node", "touch hydrated\n")
    digest = subprocess.run(["openssl", "dgst", "-sha512", "-binary", clone / "made.tgz"], check=True, stdout=subprocess.PIPE).stdout
    return "sha512-" + subprocess.run(["openssl", "base64", "-A"], input=digest, check=True, stdout=subprocess.PIPE).stdout.decode()


def test_servers_are_fetched_once(clone):
    lock(clone, fake_package(clone))
    status, out = run_setup(clone, "setup-servers")
    assert status == 0, out
    home = clone / "clone" / ".cache" / "pg" / "99"
    assert (home / "native" / "bin" / "postgres").exists() and (home / "hydrated").exists()
    assert run_setup(clone, "setup-servers") == (0, "setup: PostgreSQL servers: all there\n")
    assert (clone / "npm-calls").read_text() == "called\n"


def test_servers_of_another_integrity_are_refused(clone):
    fake_package(clone)
    lock(clone, "sha512-AAAA")
    status, out = run_setup(clone, "setup-servers")
    assert status == 1 and "is not what tools/servers.lock pins" in out, out
    assert not (clone / "clone" / ".cache" / "pg" / "99").exists()


def test_a_new_pin_replaces_the_server(clone):
    integrity = fake_package(clone)
    lock(clone, integrity)
    assert run_setup(clone, "setup-servers")[0] == 0
    (clone / "clone" / "tools" / "servers.lock").write_text(f"99 99.2.0 {integrity}\n")
    assert run_setup(clone, "setup-servers")[0] == 0
    assert (clone / "npm-calls").read_text() == "called\ncalled\n"
    assert (clone / "clone" / ".cache" / "pg" / "99" / ".pin").read_text() == f"99.2.0 {integrity}\n"


# ---- check-symbols ------------------------------------------------------------------------------------------------

def library(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        subprocess.run(["cc", "-c", name], cwd=tmp_path, check=True)
    objects = [name.replace(".c", ".o") for name in files]
    subprocess.run(["ar", "rcsT", "libone.a", *objects], cwd=tmp_path, check=True)
    return tmp_path / "libone.a"


@pytest.mark.parametrize("one, two", (
    ("int make(void) { return 1; }", "int make(void) { return 2; }"),
    ("int made = 1;", "int made;"),
    ("const int made = 1;", "int made(void) { return 2; }"),
), ids=("functions", "variables", "one of each"))
def test_symbols_refuses(tmp_path, one, two):
    status, out = run("check-symbols", library(tmp_path, {"one.c": one, "two.c": two}))
    assert status == 1 and "is defined in one.o and in two.o" in out, out


def test_symbols_refuses_what_is_not_built(tmp_path):
    status, out = run("check-symbols", tmp_path / "libone.a")
    assert status == 1 and "is not built" in out, out


def test_symbols_lets_pass(tmp_path):
    weak = "__attribute__((weak)) int spare(void) { return 1; }"
    files = {"one.c": "static int make(void) { return 1; } int one(void) { return make(); }" + weak,
             "two.c": "static int make(void) { return 2; } int one(void); int two(void) { return make() + one(); }" + weak}
    assert run("check-symbols", library(tmp_path, files)) == (0, "")
