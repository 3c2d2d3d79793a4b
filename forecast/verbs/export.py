"""A trained model as a program that draws sample paths without this repository.

    export/program.stablehlo, weights.npz, metadata.json, serve.py, windows.py

The program takes any number of windows; windows.py makes them of histories.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import pandas as pd

from common.cli import verbs
from common.cli.app import Command
from common.parallel.devices import SINGLE
from common.serving import export
from forecast import saved_model, standalone_windows
from forecast.config import Config
from forecast.features import calendar_parts
from forecast.model import FORMS
from forecast.panel.frequencies import split_frequency
from forecast.saved_model import SavedModel
from forecast.step import Learner, State, path_keys
from forecast.windows import Window

_HELP = {
    "values": "the last rows before the horizon; a missing value is the one before it",
    "observed": "whether the value was there",
    "calendar": "cosines and sines of the steps of context and horizon",
    "covariates": "known ones of the step, past ones of the step before",
    "seed": "of the draws: the same seed, the same paths",
    "categories": "numbers of the series and of its levels, as in training",
}


def inputs_of(trained: SavedModel) -> dict[str, jax.ShapeDtypeStruct]:
    """What the program takes of one window."""
    sizes = trained.sizes
    read, covariates = sizes.context + sizes.horizon, sizes.known + sizes.recent
    shapes = {
        "values": ((sizes.past, sizes.series), jnp.float32),
        "observed": ((sizes.past, sizes.series), jnp.bool_),
        "calendar": ((read, sizes.calendar), jnp.float32),
        "covariates": ((read, sizes.series, covariates), jnp.float32),
        "seed": ((), jnp.uint32),
    }
    if FORMS[trained.config.model.name].shared:
        shapes["categories"] = ((sizes.series, 1 + len(sizes.levels)), jnp.int32)
    return {name: jax.ShapeDtypeStruct(*each) for name, each in shapes.items()}


def write(trained: SavedModel, directory: pathlib.Path) -> None:
    """Writes program, weights, what it knows of the data, and loaders.

    The program returns "paths" [B, S, H, D] in the units of the data, and "broken" [B],
    how many of them were not finite and are copies of others. A seed that is the number
    of rows of the history draws what the package draws.

    Args:
      trained: the model.
      directory: made where absent.
    """
    config, sizes = trained.config, trained.sizes
    learner, paths = Learner(config, sizes, SINGLE), config.backtest.paths
    front, behind = (0, sizes.horizon), (0, 0)

    def draw(weights: Any, arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Of one window: a batch of unknown size is for `vmap` alone."""
        one = {name: array[None] for name, array in arrays.items()}
        window = Window(
            jnp.pad(one["values"], (behind, front, behind)),
            jnp.pad(one["observed"], (behind, front, behind)),
            one["calendar"],
            one["covariates"],
            arrays.get("categories", jnp.zeros((sizes.series, 1), jnp.int32)),
        )
        state = State(weights["params"], weights["batch_stats"], ())
        keys = path_keys(config.train.seed, arrays["seed"], paths)[None]
        return mend(learner.sample_windows(state, window, keys)[0])

    export.export_program(
        jax.vmap(draw, (None, 0)),
        dict(trained.variables),
        inputs_of(trained),
        directory,
        help=_HELP,
        about=describe(trained),
    )
    source = pathlib.Path(standalone_windows.__file__).read_bytes()
    (directory / "windows.py").write_bytes(source)


def mend(paths: jax.Array) -> dict[str, jax.Array]:
    """Paths [S, H, D] with finite ones in the place of others, see `evaluation.mend`."""
    finite = jnp.isfinite(paths).all((1, 2))
    good = jnp.argsort(~finite, stable=True)  # the finite ones first
    turn = jnp.cumsum(~finite) - 1
    other = good[turn % jnp.maximum(finite.sum(), 1)]
    chosen = jnp.where(finite, jnp.arange(len(paths)), other)
    return {"paths": paths[chosen], "broken": (~finite).sum().astype(jnp.int32)}


def describe(trained: SavedModel) -> dict[str, Any]:
    """What callers must know of the data; `standalone_windows` reads it."""
    model, options = trained.config.model.name, trained.config.window
    of_data = ["ids", "frequency", "known_names", "past_names"]
    of_data += ["category_names", "category_levels"]
    return {
        "model": model,
        "shared": FORMS[model].shared,
        **{name: getattr(trained, name) for name in of_data},
        "unit": split_frequency(trained.frequency)[1],
        "calendar": calendar_parts(trained.frequency),
        "holidays": [f"{pd.Timestamp(date):%Y-%m-%d}" for date in options.holidays],
        **{
            n: getattr(trained.sizes, n) for n in ("lags", "context", "past", "horizon")
        },
        "paths": trained.config.backtest.paths,
        "support": options.support,
    }


def write_trained(config: Config, command: Command, directory: pathlib.Path) -> None:
    """Writes the program of the model in the workdir."""
    trained = saved_model.load(command.workdir, config)
    write(trained, directory)
    command.show(
        f"windows of {trained.sizes.past} steps of {len(trained.ids):,} series,"
        f" {config.backtest.paths} paths of {trained.sizes.horizon} steps each"
    )


run = verbs.export(write_trained)
