"""Trains a backbone and saves it as safetensors."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from common import pretrained
from common.backbone import data
from common.backbone.config import Config
from common.backbone.data import PhotoRows
from common.backbone.step import PhotoLearner, make_learner
from common.data import ingest
from common.parallel import processes
from common.parallel.execution import Execution, make_execution
from common.parallel.processes import is_first_process
from common.training import loop_config, train_loop, workdirs
from common.training.loop_config import LoopConfig
from common.training.phase import SplitEvaluator, make_evaluator, supervised_phase

PHASE = "train"
WEIGHTS = "backbone.safetensors"
FREE = (*loop_config.FREE, "data.cache")  # what may change when a run is continued


@dataclasses.dataclass(frozen=True, eq=False)
class Trainer:
    """One network, its photos and what it runs on.

    Attributes:
      learner: the network and its step.
      rows: photos and labels.
      loop: how long to train.
      execution: what to run on.
    """

    learner: PhotoLearner
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
          start: weights to begin with, as `PhotoLearner.init` takes them.

        Returns:
          The best state on validation, in device form.

        Raises:
          UserError: see `train_loop.run`.
        """
        supervised = supervised_phase(
            phase, self.learner, self.rows, self.loop, self.execution, self.evaluate
        )
        return train_loop.run(
            [supervised],
            self.loop,
            workdir,
            self.execution,
            identity=identity,
            start=start,
        ).state

    @functools.cached_property
    def evaluate(self) -> SplitEvaluator:
        """(state, split) -> means of the learner's metrics; compiled once."""
        return make_evaluator(self.learner, self.rows, self.loop, self.execution)


def train_and_save(config: Config, workdir: pathlib.Path) -> dict[str, float]:
    """Trains, keeps the best on validation, saves its backbone.

    Args:
      config: of the run.
      workdir: gets backbone.safetensors (names as in PyTorch) and metrics.json.

    Returns:
      Accuracies on validation and test: "test/top1", "test/top5", ….

    Raises:
      UserError: whatever the user can mend.
    """
    processes.start(config.parallel)
    with workdirs.recording(workdir, "backbone", config, FREE) as record:
        values = _train(config, record)
        record.finish(values)
    return values


def _train(config: Config, record: workdirs.RunRecord) -> dict[str, float]:
    execution = make_execution(config.parallel)
    if note := config.backbone.note_fit(config.photos.fit):
        ingest.print_line(note)
    examples = data.load(config, record.workdir)
    record.add_data(examples.listings.fingerprint)
    trainer = Trainer(
        make_learner(config, len(examples.classes), execution.devices),
        examples.photo_rows(),
        config.train,
        execution,
    )
    best = trainer.train(
        record.workdir,
        phase=PHASE,
        identity={"data": examples.listings.fingerprint},
        start=_start(config),
    )
    values: dict[str, Any] = {"classes": len(examples.classes)}
    for split in ("validation", "test"):
        measured = trainer.evaluate(best, split)
        values |= {f"{split}/{name}": value for name, value in measured.items()}
        values[f"{split}/n"] = len(examples.rows(split))
    values["test/majority_top1"] = _majority(examples)
    state = execution.to_host(best)
    if is_first_process():
        variables = {
            "params": state.params["backbone"],
            "batch_stats": state.batch_stats["backbone"],
        }
        pretrained.save_backbone(record.workdir / WEIGHTS, config.network, variables)
    return values


def _start(config: Config) -> dict[str, Any]:
    """The backbone that training starts from; {} for random weights."""
    if not config.backbone.weights:
        return {}
    variables = pretrained.backbone_of_name(
        config.backbone.weights, config.network, "backbone"
    )
    return {name: {"backbone": tree} for name, tree in variables.items()}


def _majority(examples: data.Examples) -> float:
    """Share of test rows in the class that is commonest in training."""
    train, test = (examples.labels[examples.rows(s)] for s in ("train", "test"))
    return float(np.mean(test == np.bincount(train).argmax()))
