"""Correlations of paths, what-if, and the pictures."""

import dataclasses
import itertools
import types

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.errors import UserError
from forecast.config import ExplainConfig
from forecast.panel.panel import Panel
from forecast.scores.joint import correlate
from forecast.verbs import explain
from tests.forecast.verbs.small import config_of

S, H, D = 40, 5, 4


def make_panel(groups=True, series=D):
    rng = np.random.default_rng(0)
    values = rng.poisson([3, 30, 9, 1][:series], (30, series)).astype(np.float32)
    return Panel.of(
        values,
        pd.date_range("2024-01-01", periods=30),
        "D",
        ("a", "b", "c", "d")[:series],
        known=rng.random((33, series, 2)).astype(np.float32),
        known_names=("promotion", "price"),
        groups={"kind": ("x", "y", "x", "y")[:series]} if groups else {},
    )


def make_paths(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(S, H, 1)) + rng.normal(size=(S, H, D)) * np.arange(1, D + 1)


def test_correlations_by_a_loop():
    paths = make_paths()
    paths[:, 2, 1] = 7.0  # no spread at this step
    found = correlate(paths)
    for i, j in itertools.combinations(range(D), 2):
        steps = [h for h in range(H) if h != 2 or 1 not in (i, j)]
        each = [np.corrcoef(paths[:, h, i], paths[:, h, j])[0, 1] for h in steps]
        assert found[i, j] == pytest.approx(np.mean(each), abs=1e-9)
        assert found[j, i] == found[i, j]
    assert (np.diag(found) == 1).all()


def test_a_series_that_never_moves_goes_with_none():
    paths = make_paths().astype(np.float32)
    paths[..., 0] = 0.1
    found = correlate(paths)
    assert found[0].tolist() == [1, 0, 0, 0]


def test_the_mean_path_counts_for_nothing():
    paths = make_paths()
    season = 100 * np.sin(np.arange(H))[None, :, None]
    np.testing.assert_allclose(correlate(paths + season), correlate(paths), atol=1e-9)


def test_the_largest_series_come_first():
    assert explain.find_largest(make_panel(), 3).tolist() == [1, 2, 0]


def test_a_pair_is_the_first_and_what_is_most_like_or_unlike_it():
    matrix = np.array([[1, 0.2, -0.6], [0.2, 1, 0.9], [-0.6, 0.9, 1]])
    assert explain.choose_pair(matrix) == (0, 2)
    assert explain.choose_pair(np.ones((1, 1))) == (0,)


def test_series_are_ordered_by_group_or_by_likeness():
    found = np.eye(4)
    for i, j in ((0, 3), (1, 2)):
        found[i, j] = found[j, i] = 0.9
    by_group = explain.order_series(make_panel(), found)
    assert by_group.tolist() == [0, 2, 1, 3]
    order = explain.order_series(make_panel(groups=False), found).tolist()
    places = [order.index(series) for series in range(4)]
    assert abs(places[0] - places[3]) == abs(places[1] - places[2]) == 1


def test_a_covariate_is_changed_over_the_horizon_alone():
    panel = make_panel()
    found = explain.change_known(panel, ExplainConfig("promotion", 2.5, "y"), H)
    expected = np.concatenate([panel.known, panel.known[-1:], panel.known[-1:]])
    expected[30:, [1, 3], 0] = 2.5
    np.testing.assert_array_equal(found.known, expected)
    assert explain.change_known(panel, ExplainConfig(), H) is None
    one = explain.change_known(panel, ExplainConfig("price", 1.0, "c"), H)
    assert (one.known[30:, 2, 1] == 1).all() and (one.known[30:, 0, 1] != 1).all()
    assert (panel.known[30:, 2, 1] != 1).all()  # the panel itself stays


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("promotions", 1.0, ""),
            r"must be one of promotion, price \(did you mean 'pr",
        ),
        (("price", 1.0, "z"), "no group of the hierarchy and no series.*'x', 'y'"),
    ],
)
def test_mistakes_are_named(options, words):
    with pytest.raises(UserError, match=words):
        explain.change_known(make_panel(), ExplainConfig(*options), H)
    empty = dataclasses.replace(
        make_panel(), known=np.zeros((30, D, 0), np.float32), known_names=()
    )
    with pytest.raises(UserError, match="no covariate is known ahead"):
        explain.change_known(empty, ExplainConfig(*options), H)


def test_a_change_in_words():
    paths = np.ones((3, 2, 2))
    text = explain.compare(paths, paths + np.array([1, 2, 3])[:, None, None], "p = 1")
    assert "4 as it is known, 12 with p = 1" in text
    assert "4.4 to 11.6" in text  # quantiles of 4, 8 and 12


class FakeModel:
    """Sales are the covariate, and what the draw adds."""

    def __init__(self, workdir, config):
        self.config = config

    def arrange(self, panel):
        return panel

    def sample_after(self, panel):
        rows, horizon = len(panel.values), self.config.window.horizon
        known = panel.known[rows : rows + horizon, :, 0]
        return make_paths()[:, :horizon, : len(panel.ids)] + known[None]


def call(monkeypatch, folder, panel, **changes):
    config = config_of(**{"window.horizon": 4, **changes})
    backtest = types.SimpleNamespace(panel=panel, starts=(22, 26))
    monkeypatch.setattr(explain, "Model", FakeModel)
    monkeypatch.setattr(explain.data, "load", lambda *_: backtest)
    said, shown = [], []
    command = types.SimpleNamespace(
        workdir=None, input=None, output=folder, say=said.append, show=shown.append
    )
    explain.run(config, command)
    return said, shown, sorted(path.name for path in folder.glob("*"))


def test_pictures_of_the_last_window(monkeypatch, tmp_path):
    changes = {"explain.covariate": "promotion", "explain.value": 10.0}
    panel = make_panel()
    said, shown, drawn = call(
        monkeypatch, tmp_path, panel, **changes, **{"explain.group": "x"}
    )
    assert drawn == ["correlations.png", "simulations.png", "what_if.png"]
    for name in drawn:
        with Image.open(tmp_path / name) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 20
    # Of two series, over the four steps after row 26.
    gain = 80 - panel.known[26:30, [0, 2], 0].sum()
    words = shown[0].split(" on the same draws: ")[1].split(" ")
    assert float(words[0]) == float(words[2]) == pytest.approx(gain, rel=1e-4)
    assert not said


def test_what_can_not_be_drawn_is_said(monkeypatch, tmp_path):
    said, _, drawn = call(monkeypatch, tmp_path, make_panel(series=1))
    assert drawn == ["simulations.png"]
    assert said[0] == "note: one series alone has no correlations"
    assert said[1].endswith("--explain.covariate: promotion, price")
    shown = explain.Shown(make_panel(), np.zeros((H, D)), make_paths()[:1])
    assert "--backtest.paths" in explain.write(shown, tmp_path / "none")[0]
    assert not (tmp_path / "none").exists()
