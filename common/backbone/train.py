"""Trains a backbone and saves it as safetensors."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from common import pretrained
from common.backbone import data
from common.backbone.config import Config
from common.backbone.data import PhotoRows
from common.backbone.step import PhotoTask, make_task
from common.data import pipeline
from common.parallel import processes
from common.parallel.execution import Execution, make_execution
from common.training import loop_config, metrics, train_loop, workdirs
from common.training.loop_config import LoopConfig

PHASE = "train"
WEIGHTS = "backbone.safetensors"


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


def train_and_save(config: Config, workdir: pathlib.Path) -> dict[str, float]:
    """Trains, keeps the best on validation, saves its backbone.

    Args:
      config: of the run.
      workdir: gets backbone.safetensors (torchvision's names) and metrics.json.

    Returns:
      Accuracies on validation and test: "test/top1", "test/top5", ….

    Raises:
      UserError: whatever the user can mend.
    """
    processes.start(config.parallel)
    if jax.process_index() == 0:
        workdirs.start_record(workdir, "backbone", config, loop_config.FREE)
    execution = make_execution(config.parallel)
    examples = data.load(config, workdir)
    trainer = Trainer(
        make_task(config, len(examples.classes), execution.devices),
        examples.photo_rows(),
        config.train,
        execution,
    )
    best = trainer.train(
        workdir,
        phase=PHASE,
        identity={"data": examples.listings.fingerprint},
        start={},
    )
    values: dict[str, Any] = {"classes": len(examples.classes)}
    for split in ("validation", "test"):
        measured = trainer.evaluate(best, split)
        values |= {f"{split}/{name}": value for name, value in measured.items()}
        values[f"{split}/n"] = len(examples.rows(split))
    values["test/majority_top1"] = _majority(examples)
    if jax.process_index() == 0:
        state = execution.to_host(best)
        variables = {
            "params": state.params["backbone"],
            "batch_stats": state.batch_stats["backbone"],
        }
        pretrained.save_resnet(workdir / WEIGHTS, config.depth, variables)
        workdirs.write_metrics(workdir / workdirs.METRICS, values)
    return values


def _majority(examples: data.Examples) -> float:
    """Share of test rows in the class that is commonest in training."""
    train, test = (examples.labels[examples.rows(s)] for s in ("train", "test"))
    return float(np.mean(test == np.bincount(train).argmax()))
