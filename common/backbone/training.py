"""Training of a network that looks at one photo at a time, on the shared loop."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from common.backbone.network import PhotoTask
from common.data import pipeline
from common.data.crops import PhotosConfig, cut_photos
from common.data.listings import Record, Source, Subset
from common.parallel.execution import Execution
from common.training import metrics, train_loop
from common.training.loop_config import LoopConfig


@dataclasses.dataclass(frozen=True, eq=False)
class PhotoRows:
    """Photos with what is to be learnt of each.

    Attributes:
      source: records of all N rows.
      arrays: {name: [N, ...]} what stands in a batch beside "photos".
      splits: {split: int64 [n]} rows to use.
      photos: how photos are cut.
    """

    source: Source
    arrays: Mapping[str, np.ndarray]
    splits: Mapping[str, np.ndarray]
    photos: PhotosConfig

    def train_batches(self, loop: LoopConfig, start_step: int) -> pipeline.Batches:
        """This process' rows of the endless training batches from a step on."""
        return pipeline.train_batches(
            Subset(self.source, self.splits["train"]),
            self._load,
            batch_size=loop.batch_size,
            seed=loop.seed,
            start_step=start_step,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            workers=loop.workers,
        )

    def eval_batches(self, split: str, batch_size: int) -> pipeline.Batches:
        """This process' part of a split, in order, the last batch padded."""
        return pipeline.eval_batches(
            Subset(self.source, self.splits[split]),
            self._load,
            batch_size=batch_size,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )

    def _load(
        self, record: Record, rng: np.random.Generator | None = None
    ) -> dict[str, np.ndarray]:
        photos, _ = cut_photos(record["images"], self.photos, rng)
        row = record["row"]
        return {
            "photos": photos,
            **{name: array[row] for name, array in self.arrays.items()},
        }


@dataclasses.dataclass(frozen=True, eq=False)
class Trainer:
    """One network, its photos and what it runs on.

    Attributes:
      task: the network.
      rows: photos and labels.
      loop: how long to train.
      execution: what to run on.
    """

    task: PhotoTask
    rows: PhotoRows
    loop: LoopConfig
    execution: Execution

    def train(
        self,
        workdir: pathlib.Path,
        *,
        phase: str,
        identity: Mapping[str, Any],
        start: Mapping[str, Any],
    ) -> Any:
        """Trains, going on from where an earlier process ended.

        Args:
          workdir: gets checkpoints and metrics.jsonl.
          phase: name of the one phase.
          identity: what may not change when the run is continued.
          start: weights to begin with, as `PhotoTask.init` takes them.

        Returns:
          The best state on validation, in device form.

        Raises:
          UserError: see `train_loop.run`.
        """

        def batches(first_step: int):
            rows = self.rows.train_batches(self.loop, first_step)
            return pipeline.device_prefetch(rows, self.execution.put)

        return train_loop.run(
            [
                train_loop.Phase(
                    phase,
                    self.loop.steps,
                    self.task.init,
                    self.task.step,
                    batches,
                    lambda state: self.evaluate(state, "validation"),
                )
            ],
            self.loop,
            workdir,
            self.execution,
            identity=identity,
            start=start,
        ).state

    def evaluate(self, state: Any, split: str) -> dict[str, float]:
        """Means of the task's metrics over a split."""
        with self.rows.eval_batches(split, self.loop.batch_size) as batches:
            return metrics.sum_over(self._judge, state, batches).means()

    @functools.cached_property
    def _judge(self) -> Callable[..., Any]:
        # Compiled once, however often a run evaluates.
        return self.execution.compile_eval(self.task.judge)
