"""Training and evaluation, on the shared loop."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd

from common.data import pipeline
from common.parallel import processes
from common.training import loop_config, metrics, train_loop, workdirs
from ican import evaluation, report, saved_model
from ican.config import Config
from ican.data import Examples
from ican.evaluation import Calibration, Outcome
from ican.figures import side_of_map
from ican.generated import pointing
from ican.run import Prepared, prepare
from ican.step import Seen

PREDICTIONS = "predictions_test.csv"

Say = Callable[[str], None]

# What may change when a run is continued.
FREE = (*loop_config.FREE, "reproduce.", "backbone.cache", "interval", "compare")


def make_phase(run: Prepared) -> train_loop.Phase:
    """The one phase of ican: end to end, or the head over a frozen backbone."""
    config, task, execution = run.config, run.task, run.execution
    judge = execution.compile_eval(task.judge)
    validation = run.examples.listings.indices("validation")

    def batches(first_step: int):
        rows = run.examples.train_batches(config.train, first_step)
        return pipeline.device_prefetch(rows, execution.put)

    def evaluate(state: Any) -> dict[str, float]:
        rows = run.examples.eval_batches(validation, config.train.batch_size)
        with rows:
            return metrics.sum_over(judge, state, rows).means()

    return train_loop.Phase(
        saved_model.PHASE, config.train.steps, task.init, task.step, batches, evaluate
    )


def train_and_evaluate(
    config: Config,
    workdir: str | pathlib.Path,
    *,
    init_from: str | pathlib.Path | None = None,
    say: Say = lambda text: None,
) -> dict[str, float]:
    """Trains, keeps the best on validation, evaluates that on test, writes the report.

    Continues by itself where the workdir holds a checkpoint. With `config.compare` a
    second kind is trained alike in a folder of the workdir, for the report.

    Args:
      config: of the run.
      workdir: folder for everything it writes.
      init_from: workdir of another run to take the first weights from.
      say: prints a line of progress.

    Returns:
      The contents of metrics.json: "test/top3", "test/male", ….

    Raises:
      UserError: whatever the user can mend.
    """
    workdir = pathlib.Path(workdir)
    processes.start(config.parallel)
    if jax.process_index() == 0:
        workdirs.start_record(workdir, "ican", config, FREE)
    run = prepare(config, workdir, pathlib.Path(init_from) if init_from else None)
    if jax.process_index() == 0:
        data_hash = {"data": run.examples.listings.fingerprint}
        workdirs.add_facts(workdir, data_hash)
    began = time.monotonic()
    result = train_loop.run(
        [make_phase(run)],
        config.train,
        workdir,
        run.execution,
        identity={"data": run.examples.listings.fingerprint},
        start=run.start,
    )
    seconds = time.monotonic() - began
    outcomes, calibration, seen = judge(run, result.state)
    values = summarise(run, outcomes)
    values["best_step"] = result.best_step
    beside = {}
    if config.compare != "none":
        say(f"training {config.compare} to compare with")
        folder = compared_folder(config, workdir)
        beside[config.compare] = train_and_evaluate(_compared(config), folder)
    if jax.process_index() == 0:
        saved_model.save(
            workdir,
            run.task,
            run.examples.listings.schema,
            run.examples.encoders,
            calibration,
        )
        write_predictions(workdir / PREDICTIONS, run, outcomes["test"])
        report.write(run, workdir, outcomes["test"], seen, values, beside, seconds)
        # Last: it says that the run has ended.
        workdirs.write_metrics(workdir / workdirs.METRICS, values)
    return values


def _compared(config: Config) -> Config:
    """The config of the second run that `config.compare` names."""
    model = dataclasses.replace(config.model, kind=config.compare)
    return dataclasses.replace(config, model=model, compare="none")


def compared_folder(config: Config, workdir: pathlib.Path) -> pathlib.Path:
    """Where the second run lies that `config.compare` names."""
    return workdir / f"compare_{config.compare}"


def judge(run: Prepared, state: Any) -> tuple[dict[str, Outcome], Calibration, Seen]:
    """Calibrates on validation and measures validation and test.

    Returns:
      (outcomes by split, calibration, what the network saw of the test rows).
    """
    zones = run.examples.ensemble.zones
    seen = {split: see_split(run, state, split) for split in ("validation", "test")}
    prices = {split: prices_of(run.examples, split) for split in seen}
    calibration = Calibration.fit(
        seen["validation"].scores, prices["validation"], zones, run.config.interval
    )
    outcomes = {
        split: evaluation.measure(seen[split].scores, prices[split], zones, calibration)
        for split in seen
    }
    if run.config.model.kind == "ican" and not run.config.data.path:
        outcomes["test"].scalars.update(_point(run, seen["test"]))
    return outcomes, calibration, seen["test"]


def see_split(run: Prepared, state: Any, split: str) -> Seen:
    """Scores and attention of the rows of a split, in order."""
    rows = run.examples.listings.indices(split)
    with run.examples.eval_batches(rows, run.config.train.batch_size) as batches:
        return saved_model.see(run.look, state, batches, len(rows))


def _point(run: Prepared, seen: Seen) -> dict[str, float]:
    """Plays the pointing game on the rings of the test split."""
    listings, config = run.examples.listings, run.config
    side = side_of_map(seen.visual_attention.shape[-1])
    numbers = listings.frame["ring"].astype(int).to_numpy()
    stones = {
        split: pointing.stone_cells(
            config.rings, config.photos, numbers[listings.indices(split)], side
        )
        for split in ("train", "test")
    }
    return pointing.pointing_scores(
        seen.visual_attention, stones["test"], stones["train"]
    )


def prices_of(examples: Examples, split: str) -> np.ndarray:
    """Prices [n] of the rows of a split, in order."""
    return examples.prices[examples.listings.indices(split)]


def summarise(run: Prepared, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """Flat metrics of both splits, the majority baseline and the data."""
    examples = run.examples
    baseline = evaluation.majority(
        prices_of(examples, "train"),
        prices_of(examples, "test"),
        examples.ensemble.zones,
    )
    values: dict[str, Any] = {}
    for split, outcome in outcomes.items():
        values |= evaluation.with_prefix(split, outcome.scalars)
    values |= evaluation.with_prefix("test/majority", baseline)
    values["train/n"] = len(examples.listings.indices("train"))
    values["rejected"] = examples.listings.rejected
    return values


def write_predictions(path: pathlib.Path, run: Prepared, outcome: Outcome) -> None:
    """Writes what was predicted for each test row, and how far down the truth stood."""
    examples = run.examples
    rows = examples.listings.indices("test")
    names = np.asarray(examples.ensemble.zones.names())
    table = pd.DataFrame(
        {
            "row": rows,
            "price": examples.prices[rows],
            "predicted_price": np.exp(outcome.log_points),
            "zone": names[outcome.labels],
            "predicted_zone": names[outcome.probabilities.argmax(1)],
            "rank_of_zone": outcome.ranks,
        }
    )
    table.to_csv(path, index=False)


def read_ranks(workdir: pathlib.Path) -> np.ndarray:
    """Ranks int [n] of the right zones of the test rows of a finished run."""
    return pd.read_csv(workdir / PREDICTIONS)["rank_of_zone"].to_numpy()
