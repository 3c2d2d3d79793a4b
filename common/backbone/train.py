"""Trains a backbone and saves it as safetensors."""

import pathlib
from typing import Any

import jax
import numpy as np

from common import pretrained
from common.backbone import data
from common.backbone.config import Config
from common.backbone.task import make_task
from common.backbone.training import Trainer
from common.parallel import execution as parallel
from common.training import loop_config, workdirs

PHASE = "train"
WEIGHTS = "backbone.safetensors"


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
    parallel.start(config.parallel)
    if jax.process_index() == 0:
        workdirs.start_record(workdir, "backbone", config, loop_config.FREE)
    execution = parallel.make_execution(config.parallel)
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
