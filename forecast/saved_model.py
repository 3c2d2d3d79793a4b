"""A trained model on disk, and how it is read back.

workdir/model.json    what it knows of the data: sizes, series, frequency, categories
workdir/params.npz    "params/…" and "batch_stats/…"
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from common.errors import UserError
from common.training import tree_paths, workdirs
from forecast.config import Config, Sizes
from forecast.run import Run
from forecast.step import Learner

FILE = "model.json"
PARAMS = "params.npz"


@dataclasses.dataclass(frozen=True, eq=False)
class SavedModel:
    """A trained model with everything around it.

    Attributes:
      config: of the run.
      variables: {"params": …, "batch_stats": …}, on the host.
      sizes: what the network knows of the data.
      frequency: of the panel.
      ids: of the series, in order.
      known_names: covariates that must be there, ahead too.
      past_names: those of the past.
      category_names: static ones.
      category_levels: of these.
    """

    config: Config
    variables: Mapping[str, Any]
    sizes: Sizes
    frequency: str
    ids: tuple[str, ...]
    known_names: tuple[str, ...]
    past_names: tuple[str, ...]
    category_names: tuple[str, ...]
    category_levels: tuple[tuple[str, ...], ...]


def save(workdir: pathlib.Path, run: Run, params: Any, batch_stats: Any) -> None:
    """Writes all that stands beside the checkpoints; see `SavedModel`."""
    panel = run.backtest.panel
    variables = {"params": params, "batch_stats": batch_stats}
    with open(workdir / PARAMS, "wb") as file:
        np.savez(file, **tree_paths.flatten(variables))  # type: ignore[arg-type]
    contents = {
        "sizes": dataclasses.asdict(run.learner.sizes),
        "frequency": panel.frequency,
        "ids": panel.ids,
        "known_names": panel.known_names,
        "past_names": panel.past_names,
        "category_names": panel.category_names,
        "category_levels": panel.category_levels,
    }
    workdirs.write_signed(workdir / FILE, contents)


def load(workdir: pathlib.Path, config: Config) -> SavedModel:
    """Reads a trained model.

    Args:
      workdir: of a finished training run.
      config: of that run.

    Raises:
      UserError: where the folder holds no trained model, a damaged one, or one of
        another version.
    """
    path = workdir / FILE
    with workdirs.reading(path):
        contents = workdirs.read_signed(path)
        sizes = contents.pop("sizes")
        sizes |= {name: tuple(sizes[name]) for name in ("levels", "lags")}
        levels = tuple(map(tuple, contents.pop("category_levels")))
        saved = SavedModel(
            config,
            {"params": {}, "batch_stats": {}}
            | tree_paths.nest(workdirs.read_arrays(workdir / PARAMS)),
            Sizes(**sizes),
            contents.pop("frequency"),
            category_levels=levels,
            **{name: tuple(value) for name, value in contents.items()},
        )
    state = jax.eval_shape(Learner(config, saved.sizes).init)
    wanted = {"params": state.params, "batch_stats": state.batch_stats}
    if _shapes(wanted) != _shapes(saved.variables):
        raise UserError(
            f"{workdir / PARAMS} does not hold the parameters of this model: it is"
            " damaged, or an earlier version wrote it; train again"
        )
    return saved


def _shapes(variables: Any) -> dict[str, tuple[int, ...]]:
    flat = tree_paths.flatten(variables)
    return {name: np.shape(leaf) for name, leaf in flat.items()}
