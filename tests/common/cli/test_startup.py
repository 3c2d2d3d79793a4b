import os
import pathlib
import subprocess
import sys

import pytest

from common.cli import startup

ROOT = pathlib.Path(__file__).parents[3]
SCRIPT = """
import os, sys
from common.cli.startup import use_huge_pages
print("start", os.getpid(), flush=True)
use_huge_pages()
print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), sys.argv[1:])
"""


def run(**environment):
    inherited = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "--flag=a b", "x"],
        env={**inherited, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.skipif(not startup._has_setting(), reason="needs glibc 2.35")
def test_starts_once_more_in_the_same_process_with_the_same_arguments():
    first, again, last = run()
    pid = first.split()[1]
    assert again == first
    assert last == f"{pid} glibc.malloc.hugetlb=1 ['--flag=a b', 'x']"


def test_an_own_setting_stays():
    first, last = run(GLIBC_TUNABLES="glibc.malloc.check=0")
    assert last.split()[:2] == [first.split()[1], "glibc.malloc.check=0"]


@pytest.mark.parametrize(
    ("platform", "version", "restarts"),
    [
        ("linux", "glibc 2.35", True),
        ("linux", "glibc 2.36", True),
        ("linux", "glibc 3.0", True),
        ("linux", "glibc 2.34", False),
        ("linux", "musl", False),
        ("linux", "glibc 2.x", False),
        ("linux", None, False),
        ("darwin", "glibc 2.36", False),
    ],
)
def test_nothing_happens_where_malloc_has_no_such_setting(
    platform, version, restarts, monkeypatch
):
    calls = []
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os, "confstr", lambda name: version)
    monkeypatch.setattr(os, "execv", lambda *call: calls.append(call))
    startup.use_huge_pages()
    assert bool(calls) == restarts
    assert ("GLIBC_TUNABLES" in os.environ) == restarts


@pytest.mark.parametrize(("given", "level"), [(None, "3"), ("1", "1")])
def test_a_program_is_set_up_before_heavy_imports(given, level):
    """XLA asks nobody for a bug report, and Ctrl-C has its thread."""
    script = """
import os, sys
from common.cli import startup
from common.training import interruption
startup.start()
heavy = {"jax", "numpy", "pandas", "absl"} & set(sys.modules)
print(os.environ["TF_CPP_MIN_LOG_LEVEL"], interruption._watch.runs, heavy)
"""
    name = "TF_CPP_MIN_LOG_LEVEL"
    environment = {k: v for k, v in os.environ.items() if k != name}
    if given:
        environment[name] = given
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{level} True set()\n"


@pytest.mark.parametrize("program", sorted(ROOT.glob("experiments/*_main.py")))
def test_every_program_is_set_up_first(program):
    _, main = program.read_text().split("if __name__")
    assert main.index("startup.start()") < main.index("import main")
