import re
import sys

import numpy as np
import pandas as pd
import pytest

from experiments import simulate_users
from recsys.simulated_users import SimulationConfig

LEVELS = ["master", "sub", "type"]


@pytest.fixture
def folder(tmp_path):
    """300 items of eight categories, ten of them without one."""
    rng = np.random.default_rng(0)
    leaf = rng.integers(8, size=300)
    table = pd.DataFrame({"id": [f"i{n}" for n in range(300)]})
    for level, size in zip(LEVELS, (4, 2, 1), strict=True):
        table[level] = [f"{level} {number // size}" for number in leaf]
    table.loc[:9, "type"] = None
    table.to_parquet(tmp_path / "items.parquet")
    np.save(tmp_path / "features.npy", rng.normal(size=(300, 12)).astype(np.float16))
    return tmp_path


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["simulate_users", *map(str, arguments)])
    simulate_users.main()


def test_interactions_are_of_items_with_a_category(folder, monkeypatch, capsys):
    call(monkeypatch, folder, f"--category={','.join(LEVELS)}", "--users=40")
    table = pd.read_parquet(folder / "interactions.parquet")
    assert list(table.columns) == ["user", "id", "time"]
    assert set(table["id"]) == {f"i{n}" for n in range(10, 300)}
    assert table["time"].is_monotonic_increasing and table["time"].dt.tz is not None
    out = capsys.readouterr().out
    assert out.startswith(f"{len(table):,} interactions of ")
    assert "290 items (10 without a category left out)" in out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: ["--category=master,sub"], "give three levels"),
        (lambda f: ["--category=master,sub,kind"], "no column kind"),
        (lambda f: ["--category=master,sub,type", "--item=sku"], "no column sku"),
        (lambda f: ["--category=master,sub,type", "--users=1"], "users"),
        (lambda f: (f / "features.npy").unlink(), "features.npy"),
        (lambda f: (f / "items.parquet").write_bytes(b"x"), str),
        (
            lambda f: np.save(f / "features.npy", np.ones((7, 3))),
            "300 items, 7 features",
        ),
    ],
)
def test_a_mistake_is_one_line(folder, change, message, monkeypatch, capsys):
    flags = change(folder)
    flags = flags if isinstance(flags, list) else ["--category=master,sub,type"]
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, folder, *flags)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    wanted = str(folder) if message is str else message
    assert out == "" and re.match("error: ", line) and wanted in line
    assert not (folder / "interactions.parquet").exists()


def test_switches_change_who_takes_what(folder):
    found = {}
    for name, changes in {
        "on": {},
        "h": {"hierarchy": False},
        "l": {"looks": False},
    }.items():
        config = SimulationConfig(users=40, **changes)
        simulate_users.write(folder, "id", LEVELS, config)
        found[name] = pd.read_parquet(folder / "interactions.parquet")
    assert not found["on"].equals(found["h"]) and not found["on"].equals(found["l"])
