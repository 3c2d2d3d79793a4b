"""Training and evaluation, on the shared loop."""

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import pandas as pd

from common.config import configs
from common.data.halves import name_groups
from common.parallel import processes
from common.reports import linear_rival
from common.reports.calibration import grouped_share_error
from common.tables.encoders import Words
from common.training import activity, loop_config, metrics, train_loop, workdirs
from common.training.phase import SplitEvaluator, supervised_phase
from ican import evaluation, report, saved_model
from ican.config import Config
from ican.data import Examples
from ican.evaluation import Calibration, Outcome
from ican.figures import side_of_map
from ican.generated import pointing
from ican.paper import rivals
from ican.run import Run, prepare, start_from_words
from ican.step import Outputs

PREDICTIONS = "predictions_test.csv"
SHUFFLED = 500  # test rows, at the most, that tell what each input adds

Say = Callable[[str], None]

# What may change when a run is continued.
FREE = (
    *loop_config.FREE,
    "data.cache",
    "reproduce.",
    "check.",
    "backbone.cache",
    "interval",
    "compare",
    "predict.",
    "rival",
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
    configs.check_together(config)
    workdir = pathlib.Path(workdir)
    processes.start(config.parallel)
    with workdirs.recording(workdir, "ican", config, FREE) as record:
        run = prepare(config, workdir, pathlib.Path(init_from) if init_from else None)
        values = train_prepared(run, record, say)
        record.finish(values)
    return values


def train_prepared(run: Run, record: workdirs.RunRecord, say: Say) -> dict[str, float]:
    """Trains and evaluates a run; saves its model and report.

    Args:
      run: before its first step.
      record: of its workdir.
      say: prints a line of progress.

    Returns:
      The contents of metrics.json.
    """
    config, workdir = run.config, record.workdir
    fingerprint = run.examples.listings.fingerprint
    record.add_data(fingerprint)
    began = time.monotonic()
    phase = supervised_phase(
        saved_model.PHASE,
        run.learner,
        run.examples,
        config.train,
        run.execution,
        choose_by(run),
    )
    result = train_loop.run(
        [phase],
        config.train,
        workdir,
        run.execution,
        identity={"data": fingerprint},
        start=start_from_words(run, workdir, say),
    )
    seconds = time.monotonic() - began
    outcomes, calibration, outputs = evaluate(run, result.state)
    if warning := calibration.warning():
        say(f"warning: {warning}")
    values = summarise(run, outcomes)
    values["best_step"] = result.best_step
    values |= shuffled_figures(run, result.state, calibration)
    if rivals.wants_linear(config, run.examples) and linear_rival.is_installed():
        figures = rivals.evaluate_linear(run.examples)
        values |= evaluation.with_prefix(rivals.LINEAR, figures)
    compared = {}
    if config.compare != "none":
        say(f"training {config.compare} to compare with")
        folder = compared_folder(config, workdir)
        compared[config.compare] = train_and_evaluate(_compared(config), folder)
    if jax.process_index() == 0:
        saved_model.save(
            workdir,
            run.learner,
            run.examples.listings.schema,
            run.examples.encoders,
            calibration,
        )
        write_predictions(workdir / PREDICTIONS, run, outcomes["test"])
        report.write(
            run, workdir, outcomes["test"], outputs, values, compared, seconds, warning
        )
    return values


def _compared(config: Config) -> Config:
    """The config of the second run that `config.compare` names."""
    model = dataclasses.replace(config.model, kind=config.compare)
    return dataclasses.replace(config, model=model, compare="none", rival="none")


def compared_folder(config: Config, workdir: pathlib.Path) -> pathlib.Path:
    """Where the second run lies that `config.compare` names."""
    return workdir / f"compare_{config.compare}"


@activity.doing("evaluating on validation and test")
def evaluate(run: Run, state: Any) -> tuple[dict[str, Outcome], Calibration, Outputs]:
    """Calibrates on validation and measures validation and test.

    Returns:
      (outcomes by split, calibration, what the network saw of the test rows).
    """
    zones = run.examples.ensemble.zones
    outputs = {
        split: predict_split(run, state, split) for split in ("validation", "test")
    }
    prices = {split: split_prices(run.examples, split) for split in outputs}
    calibration = Calibration.fit(
        outputs["validation"],
        prices["validation"],
        run.examples.halves,
        zones,
        run.config.interval,
        pools_price=run.config.loss.price > 0,
    )
    outcomes = {
        split: evaluation.measure(outputs[split], prices[split], zones, calibration)
        for split in outputs
    }
    outcomes["test"].scalars["coverage_error"] = coverage_error(run, outcomes, prices)
    if run.config.model.kind == "ican" and not run.config.data.path:
        outcomes["test"].scalars.update(_point(run, outputs["test"]))
    return outcomes, calibration, outputs["test"]


def coverage_error(
    run: Run, outcomes: Mapping[str, Outcome], prices: Mapping[str, np.ndarray]
) -> float:
    """Standard error of the share of test prices in their intervals, less what was asked.

    Both the test rows and the validation rows that the interval was fitted on are a
    sample, of groups of near-copies.
    """
    listings = run.examples.listings
    errors = []
    for split, part in (("validation", run.examples.halves[1]), ("test", slice(None))):
        low, high = outcomes[split].interval
        hits = (low <= prices[split]) & (prices[split] <= high)
        groups = name_groups(listings, listings.indices(split)[part])
        errors.append(grouped_share_error(hits[part], groups))
    return math.hypot(*errors)


def choose_by(run: Run) -> SplitEvaluator:
    """Measures a state on the validation rows that choose the weights.

    The others are left for the interval: see `common.data.halves`.
    """
    measure = run.execution.compile_eval(run.learner.evaluate)

    def evaluate_half(state: Any, split: str) -> dict[str, float]:
        with run.examples.choosing_batches(run.config.train.batch_size) as batches:
            return metrics.sum_over(measure, state, batches).means()

    return evaluate_half


@activity.doing("shuffling inputs")
def shuffled_figures(
    run: Run, state: Any, calibration: Calibration
) -> dict[str, float]:
    """What each input adds: figures of test rows that have it from another row.

    Returns:
      {"test/shuffled/photo/top3": …, "test/shuffled/photo/male": …}, the same of words
      and attributes, and of "nothing" for the same rows as they are; "test/shuffled/n".
      {} where the network has one input alone.
    """
    rng = np.random.default_rng(run.config.train.seed)
    test = run.examples.listings.indices("test")
    rows = np.sort(rng.permutation(test)[:SHUFFLED])
    inputs = [name for name in run.examples.inputs() if _sees(run.config, name)]
    if len(inputs) < 2 or len(rows) < 2:
        return {}
    values: dict[str, float] = {"test/shuffled/n": len(rows)}
    for name in ("nothing", *inputs):
        examples = run.examples
        if name != "nothing":
            examples = examples.shuffled(name, rows, rng)
        with examples.batches_of(rows, run.config.train.batch_size) as batches:
            outputs: Outputs = run.predict(state, batches, len(rows))
        found = evaluation.measure(
            outputs, examples.prices[rows], examples.ensemble.zones, calibration
        )
        for metric in ("top3", "male"):
            values[f"test/shuffled/{name}/{metric}"] = found.scalars[metric]
    return values


def _sees(config: Config, name: str) -> bool:
    """Whether a network reads an input."""
    model = config.model
    return model.sees_photos if name == "photo" else model.sees_attributes


def predict_split(run: Run, state: Any, split: str) -> Outputs:
    """What the network says of the rows of a split, in order."""
    size = run.config.train.batch_size
    with run.examples.eval_batches(split, size) as batches:
        rows = len(run.examples.listings.indices(split))
        outputs: Outputs = run.predict(state, batches, rows)
    return outputs


def _point(run: Run, outputs: Outputs) -> dict[str, float]:
    """Plays the pointing game on the rings of the test split, with titles on words too."""
    listings, config = run.examples.listings, run.config
    side = side_of_map(outputs.visual_attention.shape[-1])
    numbers = listings.frame["ring"].astype(int).to_numpy()
    test, train = (listings.indices(split) for split in ("test", "train"))
    stones = pointing.stone_cells(config.rings, config.photos, numbers, side)
    found = pointing.pointing_scores(
        outputs.visual_attention, stones[test], stones[train]
    )
    for fitted in run.examples.encoders.attributes:
        if isinstance(fitted, Words):  # the title comes last
            ids = run.examples.loader.arrays["word_ids"]
            telling = pointing.telling_entries(fitted.encoder, ids)
            attention = outputs.attribute_attention[..., -ids.shape[1] :]
            found |= pointing.pointing_scores(
                attention, telling[test], telling[train], "word_pointing"
            )
    return found


def split_prices(examples: Examples, split: str) -> np.ndarray:
    """Prices [n] of the rows of a split, in order."""
    return examples.prices[examples.listings.indices(split)]


def summarise(run: Run, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    """Flat metrics of both splits, the majority baseline and the data."""
    examples = run.examples
    baseline = evaluation.majority(
        split_prices(examples, "train"),
        split_prices(examples, "test"),
        examples.ensemble.zones,
    )
    values: dict[str, Any] = {}
    for split, outcome in outcomes.items():
        values |= evaluation.with_prefix(split, outcome.scalars)
    values |= evaluation.with_prefix("test/majority", baseline)
    values["train/n"] = len(examples.listings.indices("train"))
    values["rejected"] = examples.listings.rejected
    return values


def write_predictions(path: pathlib.Path, run: Run, outcome: Outcome) -> None:
    """Writes what was predicted for each test row, and how far down the truth stood."""
    examples = run.examples
    rows = examples.listings.indices("test")
    names = np.asarray(examples.ensemble.zones.names())
    table = pd.DataFrame(
        {
            **examples.listings.names_of(rows),
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
