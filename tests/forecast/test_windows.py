import dataclasses

import jax
import numpy as np
import pandas as pd
import pytest

from forecast.config import Config, ModelConfig, WindowConfig
from forecast.panel.panel import Panel
from forecast.windows import cut, make_grid, sizes_of

TIMES = pd.date_range("2024-01-01", periods=40)
RNG = np.random.default_rng(0)
NAN = np.nan


def panel_of(rows=40, ahead=3):
    values = RNG.normal(size=(rows, 2)).astype(np.float32)
    return Panel.of(
        values,
        TIMES[:rows],
        "D",
        known=RNG.normal(size=(rows + ahead, 2, 1)).astype(np.float32),
        known_names=("price",),
        past=RNG.normal(size=(rows, 2, 1)).astype(np.float32),
        past_names=("visits",),
    )


CONFIG = Config(window=WindowConfig(horizon=3, context=4, lags=(1, 5)))


def windows(panel, starts):
    sizes = sizes_of(CONFIG, panel)
    grid = make_grid(CONFIG, sizes, panel)
    return sizes, jax.jit(cut, static_argnums=2)(grid, np.array(starts), sizes)


def test_a_window_is_the_rows_around_its_start():
    panel = panel_of()
    sizes, found = windows(panel, [20, 37])
    assert sizes.past == 9 and not sizes.missing
    for row, start in enumerate([20, 37]):
        rows = slice(start - 9, start + 3)
        np.testing.assert_array_equal(found.values[row], panel.values[rows])
        assert found.observed[row].all()
        read = slice(start - 4, start + 3)
        np.testing.assert_array_equal(
            found.covariates[row, ..., 0], panel.known[read, :, 0]
        )
        # What is known of yesterday alone; from the horizon on it stays.
        past = panel.past[start - 5 : start, :, 0]
        np.testing.assert_array_equal(found.covariates[row, :5, :, 1], past)
        np.testing.assert_array_equal(found.covariates[row, 5, :, 1], past[-1])
        np.testing.assert_array_equal(found.covariates[row, 6, :, 1], past[-1])


def test_the_horizon_after_the_end_has_covariates_and_no_values():
    panel = panel_of()
    _, found = windows(panel, [40])
    assert found.observed[0, :9].all() and not found.observed[0, 9:].any()
    np.testing.assert_array_equal(found.covariates[0, 4:, :, 0], panel.known[40:, :, 0])
    _, short = windows(dataclasses.replace(panel, known=panel.known[:41]), [40])
    np.testing.assert_array_equal(
        short.covariates[0, 4:, :, 0], np.repeat(panel.known[40:41, :, 0], 3, axis=0)
    )


def test_before_the_first_row_nothing_is_observed():
    panel = panel_of(rows=6)
    _, found = windows(panel, [6, 2])
    assert found.observed[0].all(1).tolist() == [False] * 3 + [True] * 6 + [False] * 3
    np.testing.assert_array_equal(found.values[1, 7:9], panel.values[:2])
    assert not found.observed[1, :7].any() and not found.values[1, :7].any()


@pytest.mark.parametrize(
    ("values", "filled"),
    [
        ([NAN, NAN, 3, NAN, 5, NAN], [0, 0, 3, 3, 5, 5]),
        ([NAN] * 6, [0] * 6),
    ],
)
def test_missing_values_are_filled_and_told(values, filled):
    panel = panel_of(rows=6)
    panel.values[:, 1] = values
    sizes, found = windows(panel, [6])
    assert sizes.missing
    np.testing.assert_array_equal(found.values[0, 3:9, 1], filled)
    np.testing.assert_array_equal(found.observed[0, 3:9, 1], np.isfinite(values))


@pytest.mark.parametrize("start", [25, 30])
def test_a_window_does_not_see_what_comes_after_its_start(start):
    panel = panel_of(ahead=30)
    panel.values[:30, 1] = NAN
    panel.values[30, 1] = 1e30
    _, found = windows(panel, [start])
    _, known = windows(panel.prefix(start), [start])
    for part in ("values", "observed"):
        past = [np.asarray(getattr(each, part))[:, :9] for each in (found, known)]
        np.testing.assert_array_equal(*past)
    np.testing.assert_array_equal(found.covariates, known.covariates)
    assert not found.values[:, :9, 1].any()


def test_lags_beyond_what_training_has_are_left_out():
    config = Config(window=WindowConfig(horizon=3, context=4))
    assert sizes_of(config, panel_of(rows=40)).lags == (1, 7, 14)
    assert sizes_of(config, panel_of(rows=20)).lags == (1, 7)


def test_a_copula_reads_as_far_back_as_its_marginals_need():
    panel = panel_of()
    for name, past in (("gp_copula", 12), ("gp", 9)):
        model = ModelConfig(name=name, marginal=12)
        config = dataclasses.replace(CONFIG, model=model)
        sizes = sizes_of(config, panel)
        grid = make_grid(config, sizes, panel)
        found = jax.jit(cut, static_argnums=2)(grid, np.array([20]), sizes)
        np.testing.assert_array_equal(found.values[0], panel.values[20 - past : 23])
        # What is read step by step stays the context.
        np.testing.assert_array_equal(
            found.covariates[0, ..., 0], panel.known[16:23, :, 0]
        )
