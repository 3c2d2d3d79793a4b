"""What `benchmarks.forecast` times, by itself: sizes, and calls that do the work.

Import `benchmarks.timing` and call its `pin` before any of these calls.
"""

import dataclasses
import functools
import statistics
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks import timing  # NumPy may not be imported before `pin`


@dataclasses.dataclass(frozen=True)
class Work:
    """What is timed.

    Attributes:
      rows: of an inverse.
      inverses: (D, how many times less than PyTorch it must take), 0 for no bar.
      series: D of training and sampling.
      history: rows of their panel.
      batch: windows of a step.
      steps: of a context, and of a horizon.
      windows: that are sampled.
      paths: of each.
      scored: windows, paths, steps and series that are scored.
      growing_series: D of growth.
      growing_steps: horizons of growth.
      model: knobs of the network that are not the defaults.
    """

    rows: int = 500
    inverses: tuple[tuple[int, float], ...] = ((137, 5.0), (370, 20.0), (963, 100.0))
    series: int = 8
    history: int = 6071
    batch: int = 64
    steps: int = 30
    windows: int = 5
    paths: int = 100
    scored: tuple[int, int, int, int] = (7, 100, 24, 137)
    growing_series: tuple[int, ...] = (8, 32, 137, 370, 963, 2000)
    growing_steps: tuple[int, ...] = (12, 24, 48, 96)
    model: Mapping[str, Any] = dataclasses.field(default_factory=dict)


QUICK = Work(
    rows=4,
    inverses=((7, 0.0),),
    series=3,
    history=40,
    batch=2,
    steps=4,
    windows=2,
    paths=3,
    scored=(2, 5, 3, 4),
    growing_series=(3,),
    growing_steps=(4,),
    model={"cells": 4, "condition": 3, "flow_hidden": 6, "flow_layers": 1, "blocks": 2},
)


class Inverse(NamedTuple):
    """A masked autoregressive map at work.

    Attributes:
      back: noise to data.
      there: data to noise, one dense pass.
      params: of its network.
      noise: [N, D].
      condition: [N, C].
    """

    back: timing.Call
    there: timing.Call
    params: Any
    noise: Any
    condition: Any


def make_inverse(work: Work, size: int, masks: Any) -> Inverse:
    """The map of D series with random weights."""
    import jax
    import numpy as np

    from common.flows.masked_autoregressive import MaskedAutoregressive
    from forecast.config import ModelConfig

    model, rng = ModelConfig(**work.model), np.random.default_rng(0)
    flow = MaskedAutoregressive(
        size, model.flow_hidden, model.flow_layers, masks, model.bound
    )
    noise, condition = (
        rng.standard_normal((work.rows, width), np.float32)
        for width in (size, model.condition)
    )
    given = jax.device_put((noise, condition))
    init = functools.partial(flow.init, method="forward_and_log_det")
    variables = jax.jit(init)(jax.random.key(0), *given)

    def call(method: str) -> timing.Call:
        run = jax.jit(functools.partial(flow.apply, method=method))
        return lambda: jax.block_until_ready(run(variables, *given))[0]

    return Inverse(
        call("inverse_and_log_det"),
        call("forward_and_log_det"),
        variables["params"]["made"],
        noise,
        condition,
    )


def measure(sides: Mapping[str, timing.Call], repeats: int) -> dict[str, float]:
    """Median processor milliseconds of calls, in turns; one round is of one call."""
    times = timing.measure_in_turns(sides, repeats, 0.2 if repeats > 1 else 0.0)
    return {
        name: 1000 * statistics.median(measured.processor)
        for name, measured in times.items()
    }


def make_learner(
    work: Work, series: int, horizon: int, **knobs: Any
) -> tuple[Any, ...]:
    """(Learner of `gru_maf`, the grid of a drawn panel of business days).

    Args:
      work: says the rest.
      series: D.
      horizon: H.
      knobs: of the model.
    """
    import jax
    import numpy as np
    import pandas as pd

    from forecast.config import Config, ModelConfig, WindowConfig
    from forecast.panel.panel import Panel
    from forecast.step import Learner
    from forecast.windows import make_grid, sizes_of

    rng = np.random.default_rng(0)
    steps = rng.standard_normal((work.history, series), np.float32)
    values = np.exp(0.005 * steps.cumsum(0))
    times = pd.date_range("1990-01-01", periods=work.history, freq="B")
    panel = Panel.of(values, times, "B")
    config = Config(
        window=WindowConfig(horizon=horizon, context=work.steps),
        model=ModelConfig(name="gru_maf", **{**work.model, **knobs}),
    )
    sizes = sizes_of(config, panel)
    grid = make_grid(config, sizes, panel)._asdict()
    return Learner(config, sizes), jax.device_put(grid)


def make_batch(work: Work, learner: Any, grid: Any, count: int) -> dict[str, Any]:
    """Windows at random places."""
    import numpy as np

    sizes = learner.sizes
    places = np.arange(sizes.past, work.history - sizes.horizon)
    starts = np.random.default_rng(1).choice(places, count, replace=False)
    return {"grid": grid, "start": starts.astype(np.int32)}


def make_state(learner: Any) -> Any:
    """A state of drawn weights, halved: those of a flow are worth exponentials."""
    import jax

    from benchmarks import weights

    state = weights.draw(jax.eval_shape(learner.init))
    params = jax.device_put(jax.tree.map(lambda leaf: leaf / 2, state.params))
    return state._replace(params=params, optimizer=learner.optimizer.init(params))


def make_forward(learner: Any) -> Callable[..., Any]:
    """(params, batch_stats, batch) -> the loss in training, compiled."""
    import jax

    @jax.jit
    def forward(params, stats, batch):
        likelihood, _ = learner.network.apply(
            {"params": params, "batch_stats": stats},
            learner.window(batch),
            train=True,
            method="log_prob",
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(0)},
        )
        return -likelihood.scaled.sum() / likelihood.series.sum()

    return forward


def sampler(work: Work, horizon: int) -> timing.Call:
    """Samples paths of some windows at once."""
    import jax

    learner, grid = make_learner(work, work.series, horizon)
    batch = make_batch(work, learner, grid, work.windows)
    state = make_state(learner)
    run = jax.jit(learner.sample, static_argnums=2)
    return lambda: jax.block_until_ready(run(state, batch, work.paths))


def scorer(work: Work) -> timing.Call:
    """Scores drawn paths."""
    import numpy as np

    from forecast import metrics

    windows, paths, steps, series = work.scored
    rng = np.random.default_rng(0)
    drawn = rng.lognormal(size=(windows, paths, steps, series))
    targets = rng.lognormal(size=(windows, steps, series))
    scores = (metrics.crps, metrics.crps_sum, metrics.energy)
    return lambda: [score(drawn, targets).mean for score in scores]
