"""What stands before the first step of a run: data, networks, devices."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from common.data import array_batches
from common.data.array_batches import Batch, Gather
from common.parallel.execution import Execution, make_execution
from rerank import batches
from rerank.config import LISTWISE, POINTER, Config
from rerank.corpus.corpus import Corpus
from rerank.corpus.requests import Requests
from rerank.ordering.pointer import PointerLearner
from rerank.step import Learner, make_learners


class PhaseState(NamedTuple):
    """All that a phase of training carries from step to step.

    Attributes:
      current: state of the network that is trained.
      done: {phase: parameters} of the networks that were trained before.
    """

    current: Any
    done: Mapping[str, Any]

    @property
    def params(self) -> Any:
        """Parameters of the network that is trained."""
        return self.current.params


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A run whose data are there.

    Attributes:
      config: of the run.
      corpus: items and requests.
      execution: what it runs on.
      learners: {phase: network and its step}, in the order of training.
    """

    config: Config
    corpus: Corpus
    execution: Execution
    learners: Mapping[str, Learner]

    @property
    def phases(self) -> dict[str, Learner | PointerLearner]:
        """What is trained, in order: both networks, then the pointer if it is wanted."""
        phases: dict[str, Learner | PointerLearner] = dict(self.learners)
        if self.config.pointer_steps:
            phases[POINTER] = PointerLearner(self.learners[LISTWISE])
        return phases

    def train_batches(self, start_step: int) -> Iterator[Batch]:
        """This process' rows of the endless training batches; close it."""
        requests, loop = self.corpus.splits["train"], self.config.train
        return array_batches.train_batches(
            len(requests),
            self._reader(requests),
            batch_size=loop.batch_size,
            seed=loop.seed,
            start_step=start_step,
        )

    def eval_batches(self, requests: Requests) -> Iterator[Batch]:
        """This process' rows of requests, in order, the last batch padded; close it."""
        size = self.config.train.batch_size
        return batches.eval_batches(len(requests), self._reader(requests), size)

    @property
    def length(self) -> int:
        """Places of a list in batches."""
        return batches.bucket(self.corpus.sizes.length)

    def _reader(self, requests: Requests) -> Gather:
        return functools.partial(
            batches.gather,
            self.corpus.items,
            requests,
            length=self.length,
            history=self.corpus.sizes.history,
            cap_label=self.config.search.cap_label,
        )


def prepare(config: Config, corpus: Corpus) -> Run:
    """A run over a corpus, ready to be trained or evaluated.

    Raises:
      UserError: a batch that can't be spread over the devices.
    """
    execution = make_execution(config.parallel)
    execution.check_batch(config.train.batch_size)
    learners = make_learners(config, corpus.sizes, execution.devices)
    return Run(config, corpus, execution, learners)
