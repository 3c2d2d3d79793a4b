"""What an exported program is given, beside what the package gives the network."""

import ast
import dataclasses
import json
import pathlib

import numpy as np
import pandas as pd
import pytest

from forecast import features, standalone_windows
from forecast.panel.frequencies import make_times, split_frequency
from forecast.panel.panel import Panel
from forecast.saved_model import SavedModel
from forecast.verbs import export
from forecast.windows import Grid, cut, make_grid, sizes_of
from tests.forecast.verbs.small import config_of

T, H, NAN = 40, 4, np.nan
TIMES = pd.date_range("2024-01-20", periods=T + H)


def make_panel() -> Panel:
    rng = np.random.default_rng(0)
    values = rng.poisson(6, (T, 3)).astype(np.float32)
    values[rng.random((T, 3)) < 0.3] = NAN
    values[:38, 2] = NAN
    return Panel.of(
        values,
        TIMES[:T],
        "D",
        ("a", "b", "c"),
        known=rng.random((T + 3, 3, 1)).astype(np.float32),  # one step too few
        known_names=("price",),
        past=rng.random((T, 3, 2)).astype(np.float32),
        past_names=("visits", "clicks"),
        categories=np.array([[1], [0], [1]], np.int32),
        category_names=("kind",),
        category_levels=(("x", "y"),),
    )


def model_of(panel, **changes):
    config = config_of(**{"window.holidays": ("2024-02-08",), **changes})
    names = ("known_names", "past_names", "category_names", "category_levels")
    parts = {name: getattr(panel, name) for name in names}
    sizes = sizes_of(config, panel)
    return SavedModel(config, {}, sizes, panel.frequency, panel.ids, **parts)


def about_of(trained):
    return json.loads(json.dumps(export.describe(trained)))


@pytest.mark.parametrize("rows", [40, 11, 6, 1])
@pytest.mark.parametrize("name", ["gru_maf", "deepar"])
def test_windows_are_those_of_the_package(rows, name):
    panel = make_panel()
    trained = model_of(panel, **{"model.name": name})
    grid = make_grid(trained.config, trained.sizes, panel.prefix(rows))
    wanted = cut(Grid(*grid), np.array([rows]), trained.sizes)
    given = {"categories": [["y"], ["x"], ["y"]]} if name == "deepar" else {}
    found = standalone_windows.make_window(
        about_of(trained),
        panel.values[:rows],
        TIMES[: rows + H].to_numpy(),
        known=panel.known,
        past=panel.past[:rows],
        **given,
    )
    inputs = export.inputs_of(trained)
    assert {n: (a.shape, a.dtype) for n, a in found.items()} == {
        n: (s.shape, s.dtype) for n, s in inputs.items()
    }
    past = trained.sizes.past
    for part, expected in (
        ("values", wanted.values[0, :past]),
        ("observed", wanted.observed[0, :past]),
        ("calendar", wanted.calendar[0]),
        ("covariates", wanted.covariates[0]),
    ):
        np.testing.assert_array_equal(found[part], expected, err_msg=part)
    assert found["seed"] == rows
    if name == "deepar":
        np.testing.assert_array_equal(found["categories"], wanted.categories)


@pytest.mark.parametrize(
    "frequency",
    ["5min", "h", "D", "B", "W-TUE", "MS", "ME", "QS-JAN", "QE-DEC", "YE-DEC"],
)
def test_calendars_are_those_of_the_package(frequency):
    times = make_times("2023-12-24", 60, frequency)
    holidays = ("2023-12-25", "2024-02-29", "2024-12-31")
    about = {
        "calendar": features.calendar_parts(frequency),
        "unit": split_frequency(frequency)[1],
        "holidays": holidays,
    }
    found = standalone_windows.make_calendar(about, times.to_numpy("datetime64[s]"))
    wanted = features.calendar(times, frequency, holidays)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert 0 < wanted[:, -1].sum() < 60 or frequency == "5min"


def test_missing_values_are_carried():
    values = np.array([[NAN, NAN, 1], [2, NAN, NAN], [NAN, NAN, 3], [4, NAN, NAN]])
    filled = [[0, 0, 1], [2, 0, 1], [2, 0, 3], [4, 0, 3]]
    assert standalone_windows.fill(values).tolist() == filled


def test_series_that_training_did_not_have():
    panel = make_panel()
    found = standalone_windows.make_window(
        about_of(model_of(panel, **{"model.name": "deepar"})),
        panel.values,
        TIMES.to_numpy(),
        known=panel.known,
        past=panel.past,
        series=["c", "new", "a"],
        categories=[["x"], ["z"], ["y"]],
    )
    assert found["categories"].tolist() == [[2, 0], [3, 2], [0, 1]]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"history": np.zeros((5, 2))}, r"history is \[5, 2\]: give \[T, 3\]"),
        ({"times": TIMES[:5].to_numpy()}, "give 5 of the history and 4 of the horizon"),
        ({"known": None}, "known is missing: price"),
        ({"past": np.zeros((4, 3, 2))}, r"past is \[4, 3, 2\]: give \[5 or more"),
        ({"known": np.full((9, 3, 1), NAN)}, "known has numbers that are not finite"),
        ({"seed": -1}, "seed -1"),
        ({"series": ["b", "a", "c"]}, "series are not those"),
        ({"model": "deepar", "categories": None}, "categories are missing: kind"),
        ({"model": "deepar", "series": ["a"]}, "give 3 series"),
    ],
)
def test_mistakes_are_named(changes, words):
    changes = dict(changes)
    name = changes.pop("model", "gru_maf")
    arguments = {
        "history": np.zeros((5, 3)),
        "times": TIMES[: 5 + H].to_numpy(),
        "known": np.zeros((9, 3, 1)),
        "past": np.zeros((5, 3, 2)),
        **({"categories": [["x"]] * 3} if name == "deepar" else {}),
        **changes,
    }
    about = about_of(model_of(make_panel(), **{"model.name": name}))
    with pytest.raises(standalone_windows.WindowError, match=words):
        standalone_windows.make_window(about, **arguments)


def test_the_file_needs_numpy_alone():
    source = pathlib.Path(standalone_windows.__file__).read_text(encoding="utf-8")
    found = {
        getattr(node, "module", None) or node.names[0].name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert found == {"collections.abc", "typing", "numpy"}


def test_holidays_are_dates_whatever_else_they_say():
    trained = model_of(make_panel())
    options = dataclasses.replace(
        trained.config.window, holidays=("2024-02-08 10:00", "2024-03")
    )
    config = dataclasses.replace(trained.config, window=options)
    about = export.describe(dataclasses.replace(trained, config=config))
    assert about["holidays"] == ["2024-02-08", "2024-03-01"]
