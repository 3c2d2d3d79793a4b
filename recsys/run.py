"""What stands before the first step of a run: model, devices, ranker."""

import dataclasses

import jax

from common.parallel.execution import Execution, make_execution
from recsys import step
from recsys.config import Config
from recsys.corpus.corpus import Corpus
from recsys.models.projection import Form
from recsys.ranking.ranker import Ranker
from recsys.step import Learner


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A run whose data are there.

    Attributes:
      config: of the run.
      corpus: users, items, interactions.
      execution: what it runs on.
      learner: the model and its step.
      ranker: makes lists.
    """

    config: Config
    corpus: Corpus
    execution: Execution
    learner: Learner
    ranker: Ranker


def prepare(config: Config, corpus: Corpus) -> Run:
    """A run over a corpus, ready to be trained or evaluated."""
    execution = make_execution(config.parallel)
    model = step.model_for(config, corpus, choose_form(config, execution))
    learner = Learner(config, model, execution.devices)
    ranker = Ranker(learner, corpus.catalogue, execution)
    return Run(config, corpus, execution, learner, ranker)


def choose_form(config: Config, execution: Execution) -> Form:
    """Which form of products with a matrix per category a run takes.

    Tiles run one after another, so they suit a processor; and a batch that jit spreads
    over several devices would be brought together for them.
    """
    spread = config.parallel.mode == "jit" and execution.data_size > 1
    return "gather" if spread or jax.default_backend() != "cpu" else "tiles"
