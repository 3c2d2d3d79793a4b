"""A trained model on disk, and how it is read back.

workdir/model.json    what was fitted: numbers' scaling, words, calibration, sizes
workdir/params.npz    parameters, "pointwise/…", "listwise/…", "pointer/…"
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from common.errors import UserError
from common.parallel.devices import SINGLE
from common.text.encoder import TextEncoder
from common.training import tree_paths, workdirs
from rerank.config import Config, Modality, Sizes
from rerank.corpus.corpus import Corpus, Scaling
from rerank.ordering.ranker import Calibration
from rerank.step import Learner, make_learners

FILE = "model.json"
PARAMS = "params.npz"


@dataclasses.dataclass(frozen=True, eq=False)
class SavedModel:
    """A trained model with everything around it.

    Attributes:
      config: of the run.
      params: {phase: parameters}, on the host.
      sizes: what the networks know of the data.
      scaling: of numbers.
      encoder: of titles and queries; None where no text is read.
      pair_names: columns of the numbers of a candidate in its request.
      context_names: columns of the numbers of a request.
      calibration: of both networks.
    """

    config: Config
    params: Mapping[str, Any]
    sizes: Sizes
    scaling: Scaling
    encoder: TextEncoder | None
    pair_names: tuple[str, ...]
    context_names: tuple[str, ...]
    calibration: Calibration

    def learners(self, devices: Any) -> dict[str, Learner]:
        """The networks by phase."""
        return make_learners(self.config, self.sizes, devices)


def save(
    workdir: pathlib.Path,
    corpus: Corpus,
    params: Mapping[str, Any],
    calibration: Calibration,
) -> None:
    """Writes all that stands beside the checkpoints; see `SavedModel`."""
    with open(workdir / PARAMS, "wb") as file:
        np.savez(file, **tree_paths.flatten(params))  # type: ignore[arg-type]
    contents = {
        "sizes": dataclasses.asdict(corpus.sizes),
        "scaling": dataclasses.asdict(corpus.scaling),
        "encoder": corpus.encoder and corpus.encoder.to_json(),
        "pair_names": corpus.pair_names,
        "context_names": corpus.context_names,
        "calibration": dataclasses.asdict(calibration),
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
        sizes, encoder = contents["sizes"], contents["encoder"]
        sizes["modalities"] = tuple(Modality(**each) for each in sizes["modalities"])
        saved = SavedModel(
            config,
            tree_paths.nest(workdirs.read_arrays(workdir / PARAMS)),
            Sizes(**sizes),
            Scaling(**contents["scaling"]),
            encoder and TextEncoder.from_json(encoder),
            tuple(contents["pair_names"]),
            tuple(contents["context_names"]),
            Calibration(**contents["calibration"]),
        )
    wanted = {
        phase: jax.eval_shape(learner.init).params
        for phase, learner in saved.learners(SINGLE).items()
    }
    if _shapes(wanted) != _shapes({phase: saved.params.get(phase) for phase in wanted}):
        raise UserError(
            f"{workdir / PARAMS} does not hold the parameters of this model: it is"
            " damaged, or an earlier version wrote it; train again"
        )
    return saved


def _shapes(params: Any) -> dict[str, tuple[int, ...]]:
    return {name: np.shape(leaf) for name, leaf in tree_paths.flatten(params).items()}
