"""`--mode=simulate`: a table of interactions for a catalogue that has none."""

import numpy as np
import pandas as pd
import pytest

from recsys.generated.parameters import SimulationConfig
from recsys.main import main
from recsys.verbs import simulate

FLAGS = ("--mode=simulate", "--data.item=id", "--data.category=master,sub,type")


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """300 items of eight categories, ten of them without one; the current folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    leaf = rng.integers(8, size=300)
    table = pd.DataFrame({"id": [f"i{n}" for n in range(300)]})
    for level, size in {"master": 4, "sub": 2, "type": 1}.items():
        table[level] = [f"{level} {number // size}" for number in leaf]
    table.loc[:9, ["master", "sub", "type"]] = None
    table.to_parquet("items.parquet")
    np.save("features.npy", rng.normal(size=(300, 12)).astype(np.float16))
    return tmp_path


def call(*flags, output="likes.parquet"):
    """Exit code; of two equal flags the later one counts."""
    files = ("--data.items=items.parquet", "--data.features=features.npy")
    with pytest.raises(SystemExit) as ended:
        main(["recsys", *FLAGS, *files, f"--output={output}", *flags])
    return ended.value.code


def test_users_take_items_that_have_a_category(shop, capsys):
    assert call("--simulation.users=40", "--data.user=who") == 0
    table = pd.read_parquet("likes.parquet")
    assert list(table.columns) == ["who", "id", "time"]
    assert set(table["id"]) == {f"i{n}" for n in range(10, 300)}
    assert table["time"].is_monotonic_increasing and table["time"].dt.tz is not None
    out, err = capsys.readouterr()
    assert err.count("line ") == 10 and "category" in err
    assert out.startswith(f"{len(table):,} interactions of ")
    assert "290 items (10 rejected): likes.parquet" in out


def test_users_who_took_nothing_are_told_with_the_reason(shop, capsys):
    assert call("--simulation.users=400") == 0
    table = pd.read_parquet("likes.parquet")
    missing = 400 - table["user"].nunique()
    assert missing > 10
    (note,) = [x for x in capsys.readouterr().err.splitlines() if x[:5] == "note:"]
    assert f"note: {missing} of 400 users have taken nothing" in note
    assert f"290 items make {len(table)} interactions, and 60% of the users do" in note
    assert note.endswith("raise --simulation.takers=2 or lower --simulation.idle=0.6")
    config = SimulationConfig(users=20, takers=3.0)
    everyone = np.arange(60) % 20
    assert simulate.describe_idle(config, everyone, 20) == ""
    assert "1 of 20 users" in simulate.describe_idle(config, everyone[everyone > 0], 20)


def test_the_model_reads_what_was_written(shop, capsys):
    assert call("--simulation.users=40", output="likes.csv") == 0
    flags = ["--mode=train", "--data.interactions=likes.csv", "--data.time=time"]
    small = ["--model.width=8", "--train.steps=2", "--train.batch_size=8"]
    assert call("--workdir=run", *flags, *small, "--parallel.devices=1") == 0
    assert "290 items (10 rows rejected) in 8 categories" in capsys.readouterr().err


def test_switches_change_who_takes_what(shop):
    found = {}
    for name in ("", "--nosimulation.hierarchy", "--nosimulation.looks"):
        assert call("--simulation.users=40", *([name] if name else [])) == 0
        found[name] = pd.read_parquet("likes.parquet")
    assert not any(found[""].equals(found[name]) for name in found if name)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data.items="], "needs --data.items=TABLE"),
        (["--data.items=none.csv"], "none.csv"),
        (["--data.features=none.npy"], "none.npy"),
        (["--data.features="], "the items have no features"),
        (["--data.category=master,sub"], "2 levels of categories"),
        (["--data.category=master,sub,kind"], "kind"),
        (["--data.item=sku"], "sku"),
        (["--data.max_rejected_fraction=0.01"], "10 of 300 rows"),
        (["--simulation.users=1"], "simulation.users"),
        (["--output=likes.txt"], "must end with .csv or .parquet"),
    ],
)
def test_a_mistake_is_one_line(shop, flags, message, capsys):
    assert call(*flags) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == "" and line.startswith("error: ") and message in line
    assert not (shop / "likes.parquet").exists()


def test_features_of_another_table_are_refused(shop, capsys):
    np.save("features.npy", np.ones((7, 3), np.float16))
    assert call() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "300 rows for 7 rows of features" in line
