"""Windows of a panel, cut on the device: a batch is where its horizons start.

All of the panel lies on the device, and a window is a slice of it. In front of the first
row stand as many empty ones as a window reads back, so that a series may be shorter.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from forecast.config import Config, Sizes
from forecast.features import calendar, lags_of
from forecast.panel.panel import Panel
from forecast.standalone_windows import fill


class Grid(NamedTuple):
    """A panel as networks read it, on device or host: N = pad + T + F rows.

    Attributes:
      values: [N, D]; a missing value is the one before it, 0 before the first.
      observed: bool [N, D].
      calendar: [N, F].
      covariates: [N, D, C]; known ones of the step, past ones of the step before.
      categories: int32 [D, 1 + K]; which series it is, and its static categories, by
        their numbers in training; what training did not have has the number behind.
    """

    values: Any
    observed: Any
    calendar: Any
    covariates: Any
    categories: Any


class Window(NamedTuple):
    """What a batch of windows reads; P rows of the past, see `Sizes`.

    Attributes:
      values: [B, P + H, D].
      observed: bool [B, P + H, D].
      calendar: [B, C + H, F].
      covariates: [B, C + H, D, K]; in the horizon past ones stay as they last were.
      categories: int32 [D, 1 + K], as of the grid.
    """

    values: jax.Array
    observed: jax.Array
    calendar: jax.Array
    covariates: jax.Array
    categories: jax.Array


def sizes_of(config: Config, panel: Panel) -> Sizes:
    """What networks must know of a panel to train on."""
    options = config.window
    context = options.context or options.horizon
    rows = len(panel.values)
    room = max(rows - context - options.horizon, 1)
    lags = tuple(sorted(set(options.lags))) or lags_of(panel.frequency, room)
    numbers = calendar(panel.times[:1], panel.frequency, options.holidays)
    return Sizes(
        series=panel.values.shape[1],
        calendar=numbers.shape[1],
        known=len(panel.known_names),
        recent=len(panel.past_names),
        levels=tuple(map(len, panel.category_levels)),
        lags=lags,
        context=context,
        horizon=options.horizon,
        missing=bool(np.isnan(panel.values).any()),
        marginal=config.model.past,
    )


def make_grid(
    config: Config, sizes: Sizes, panel: Panel, series: np.ndarray | None = None
) -> Grid:
    """A panel in the form that windows are cut from, with a horizon behind its end.

    Known covariates that the panel does not have for a step of the horizon are as they
    last were.

    Args:
      config: of the run.
      sizes: of the data.
      panel: its categories by their numbers in training.
      series: int [D], numbers of the series in training; None: it is that panel.
    """
    rows, ahead = len(panel.values), sizes.horizon
    front = (sizes.past, ahead)
    observed = np.isfinite(panel.values)
    times = panel.times.append(panel.times_ahead(ahead))
    numbers = calendar(times, panel.frequency, config.window.holidays)
    known = panel.known[: rows + ahead]
    known = np.pad(known, ((0, rows + ahead - len(known)), (0, 0), (0, 0)), "edge")
    past = np.pad(panel.past, ((1, ahead - 1), (0, 0), (0, 0)), "edge")
    covariates = np.concatenate([known, past], axis=2)
    if series is None:
        series = np.arange(sizes.series)
    return Grid(
        np.pad(fill(panel.values), (front, (0, 0))),
        np.pad(observed, (front, (0, 0))),
        np.pad(numbers, ((sizes.past, 0), (0, 0))),
        np.pad(covariates, ((sizes.past, 0), (0, 0), (0, 0))),
        np.concatenate([series[:, None], panel.categories], axis=1).astype(np.int32),
    )


def cut(grid: Grid, starts: jax.Array, sizes: Sizes) -> Window:
    """Windows by the rows [B] of the panel at which their horizons start.

    A horizon may reach behind the panel; nothing is observed there.
    """
    whole, read = sizes.past + sizes.horizon, sizes.context + sizes.horizon

    def one(start):
        back = sizes.past - sizes.context  # rows that are read as values alone
        return (
            lax.dynamic_slice_in_dim(grid.values, start, whole),
            lax.dynamic_slice_in_dim(grid.observed, start, whole),
            lax.dynamic_slice_in_dim(grid.calendar, start + back, read),
            _hold(lax.dynamic_slice_in_dim(grid.covariates, start + back, read), sizes),
        )

    values, observed, numbers, covariates = jax.vmap(one)(starts)
    return Window(values, observed, numbers, covariates, grid.categories)


def _hold(covariates: jax.Array, sizes: Sizes) -> jax.Array:
    """Covariates [C + H, D, K], those of the past alone held from the horizon on."""
    known, first = sizes.known, covariates[sizes.context, :, sizes.known :]
    held = jnp.broadcast_to(first[None], (sizes.horizon, *first.shape))
    return covariates.at[sizes.context :, :, known:].set(held)
