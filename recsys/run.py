"""What stands before the first step of a run: model, devices, ranker."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from common.parallel.execution import Execution, make_execution
from recsys import step
from recsys.config import Config
from recsys.corpus.corpus import Corpus
from recsys.models.neighbours import NeighbourRanker
from recsys.models.projection import Form
from recsys.ranking.ranker import ListMaker, Ranker
from recsys.step import Learner


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A run whose data are there.

    Attributes:
      config: of the run.
      corpus: users, items, interactions.
      execution: what it runs on.
    """

    config: Config
    corpus: Corpus
    execution: Execution

    @functools.cached_property
    def learner(self) -> Learner:
        """The model and its step; not of item-knn, which has no vectors."""
        form = choose_form(self.config, self.execution)
        model = step.model_for(self.config, self.corpus, form)
        return Learner(self.config, model, self.execution.devices)

    @functools.cached_property
    def ranker(self) -> ListMaker:
        """Makes lists."""
        if not self.config.model.has_vectors:
            return NeighbourRanker()
        return Ranker(self.learner, self.corpus.catalogue, self.execution)

    def put_params(self, host: Mapping[str, np.ndarray]) -> Any:
        """Parameters as the ranker takes them, from those on the host."""
        if not self.config.model.has_vectors:
            return host
        return self.execution.replicate(dict(host))

    def host_params(self, params: Any) -> dict[str, np.ndarray]:
        """What `put_params` takes, of parameters as the ranker takes them."""
        if not self.config.model.has_vectors:
            return params
        return self.execution.to_host(params)


def prepare(config: Config, corpus: Corpus) -> Run:
    """A run over a corpus, ready to be trained or evaluated.

    Raises:
      UserError: where the model does not fit the tree.
    """
    config.model.check_widths(corpus.catalogue.tree.levels)
    return Run(config, corpus, make_execution(config.parallel))


def choose_form(config: Config, execution: Execution) -> Form:
    """Which form of products with a matrix per category a run takes.

    Tiles run one after another, so they suit a processor; and a batch that jit spreads
    over several devices would be brought together for them.
    """
    spread = config.parallel.mode == "jit" and execution.data_size > 1
    return "gather" if spread or jax.default_backend() != "cpu" else "tiles"
