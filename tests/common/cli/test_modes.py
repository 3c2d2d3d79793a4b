"""The modes of the systems, as their command lines declare them."""

import importlib
import os
import pathlib
import subprocess
import sys

import pytest

from common.cli import app, late_imports, modes

ROOT = pathlib.Path(__file__).parents[3]
PROGRAMS = {
    "ican": "ican.main",
    "pricer": "pricer.main",
    "recsys": "recsys.main",
    "backbone": "common.backbone.main",
}
# What takes seconds to import.
HEAVY = ("jax", "flax", "optax", "orbax", "pandas", "pyarrow", "grain", "matplotlib")
HEAVY += ("tensorflow_datasets", "scipy")
WRONG = {
    "ican": (
        ["--zonse.count=3"],
        ["--zones.count=6", "--zones.kind=quantile", "--ensemble.classifiers=3"],
        ["--help"],
    ),
    "pricer": (["--train.stepss=3"], ["--workdir=x", "--init_from=x"], ["--help"]),
    "recsys": (["--model.nam=x"], ["--ranking.lengths=5"], ["--help"]),
    "backbone": (["--dept=18"], ["--mode=features"], ["--help"]),
}
SCRIPT = """
import contextlib, importlib, io, sys
main = importlib.import_module(sys.argv[1]).main
for words in eval(sys.argv[2]):
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            main(["program", *words])
        except SystemExit as ended:
            code = ended.code
    print(code, *sorted(set(eval(sys.argv[3])) & set(sys.modules)))
"""


@pytest.mark.parametrize("system", PROGRAMS)
def test_a_wrong_flag_is_answered_before_anything_heavy_is_imported(system):
    words = [sys.executable, "-c", SCRIPT, PROGRAMS[system], repr(WRONG[system])]
    done = subprocess.run(
        [*words, repr(HEAVY)],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["2", "2", "0"], done.stderr
    assert done.stderr.count("error: ") == done.stderr.count("\n") == 2


@pytest.mark.parametrize("system", PROGRAMS)
def test_every_mode_has_its_function(system):
    for name, mode in importlib.import_module(PROGRAMS[system]).MODES.items():
        module = importlib.import_module(mode.run.keywords["module"])
        assert callable(getattr(module, mode.run.keywords["name"])), name


def test_modes_run_what_their_package_holds(monkeypatch):
    asked = []
    monkeypatch.setattr(
        late_imports, "function", lambda module, name: asked.append((module, name))
    )
    found = modes.of("shop.verbs", "train", "predict")
    assert asked == [("shop.verbs.train", "run"), ("shop.verbs.predict", "run")]
    assert found["predict"].needs == ("workdir", "input", "output")
    assert found["predict"].trained and not found["train"].trained


def test_a_system_without_another_run_to_start_from_says_so():
    found = modes.of("shop.verbs", "train", "check", no_init_from="start anew")
    assert all("init_from" not in mode.takes for mode in found.values())
    assert found["train"].refuses == {"init_from": "start anew"}


def test_flags_of_all_modes_are_there():
    known = {field for field in app.RunFlags.__dataclass_fields__} | {"data.path"}
    for mode in modes.of("x", *modes._STANDARD).values():
        assert {*mode.needs, *mode.takes} <= known
