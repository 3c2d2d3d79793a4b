"""`--mode=schema`, and what its flags read."""

import numpy as np
import pandas as pd
import pytest

from common.cli import app
from common.config import configs
from common.errors import UserError
from forecast.config import Config
from forecast.main import MODES, main
from forecast.panel.table_files import read_panel
from forecast.verbs import schema


def call(*flags):
    """Exit code of a command line."""
    with pytest.raises(SystemExit) as ended:
        main(["forecast", *map(str, flags)])
    return ended.value.code


@pytest.fixture
def sales(tmp_path):
    """Four articles over 12 days, and 3 more days of which the price is known."""
    days = pd.date_range("2024-01-01", periods=15)
    frame = pd.DataFrame(
        {
            "sku": np.repeat(["a", "b", "c", "d"], 15),
            "date": np.tile(days, 4),
            "units": np.where(np.tile(np.arange(15), 4) < 12, 3.0, np.nan),
            "price": np.arange(60) / 4,
            "visits": np.where(np.tile(np.arange(15), 4) < 12, np.arange(60), np.nan),
            "category": np.repeat(["x", "x", "y", "y"], 15),
            "colour": np.repeat(["red", "blue", "grey", "grey"], 15),
            "label": np.repeat(["A", "B", "C", "D"], 15),
            "note": np.tile(list("abcdefghijklmno"), 4),
        }
    )
    path = tmp_path / "sales.csv"
    frame.to_csv(path, index=False)
    return path


def test_the_flags_of_a_table_read_it(sales, tmp_path, capsys):
    flags = [f"--data.path={sales}", "--window.horizon=3"]
    assert call("--mode=schema", *flags) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines() == [
        f"# {sales}: long, 4 series of 12 steps, 2024-01-01 to 2024-01-12",
        f"--data.path={sales}",
        "--data.id=sku",
        "--data.time=date",
        "--data.target=units",
        "--data.frequency=D",
        "--data.known=price",
        "--data.past=visits",
        "--data.static=category,colour",
        "--data.hierarchy=category",
        "--window.horizon=3",
        "# not read: 'label', one for all series or for each",
        "# not read: 'note', texts that change in a series",
    ]
    output = tmp_path / "sales.flags"
    assert call("--mode=schema", *flags, f"--output={output}") == 0
    assert f"--flagfile={output}" in capsys.readouterr().out
    assert output.read_text() == printed
    argv = ["forecast", "--workdir=runs/x", f"--flagfile={output}"]
    config, _ = app.parse("forecast", Config(), MODES, argv)
    panel = read_panel(sales, config.data).panel
    assert panel.future == 3 and panel.groups == {"category": ("x", "x", "y", "y")}
    assert call("--mode=schema") == 2
    assert "needs --data.path=TABLE" in capsys.readouterr().err


def test_what_is_named_stays_and_what_is_lacking_is_said(tmp_path):
    path = tmp_path / "weeks.csv"
    path.write_text("week_index,a,b\n1,2,3\n2,4,x\n3,1,1\n")
    config = configs.replace(Config(), {"data.path": str(path)})
    lines = schema.infer(config)
    assert lines[:3] == [
        f"# {path}: wide",
        f"--data.path={path}",
        "--data.time=week_index",
    ]
    assert len(lines) == 4 and "to be mended: " in lines[3]
    assert "say how long a step is as --data.frequency" in lines[3]
    lines = schema.infer(configs.replace(config, {"data.frequency": "W"}))
    assert lines[0].endswith("wide, 2 series of 3 steps, 2000-01-02 to 2000-01-16")
    assert lines[-2:] == [
        "--data.frequency=W-SUN",
        "# rejected rows: 1; see --mode=check",
    ]
    with pytest.raises(UserError, match="no column 'c'"):
        schema.infer(configs.replace(config, {"data.known": ("c",)}))
