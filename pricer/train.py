"""Training and evaluation: networks, features, statistics, heads, in this order."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from common.config import configs
from common.data.images import decode
from common.parallel import processes
from common.parallel.processes import is_first_process
from common.reports import linear_rival
from common.tables import splits
from common.training import activity, loop_config, workdirs
from common.training.workdirs import RunRecord, Say
from pricer import evaluation, report, saved_model
from pricer import metrics as measures
from pricer.config import Config
from pricer.data import Examples
from pricer.evaluation import Calibration, Outcome
from pricer.generated import bazaar
from pricer.inputs import photo_quality, trimming
from pricer.run import Run, prepare
from pricer.saved_model import AcceptedItems, Compared, SavedModel

PREDICTIONS = "predictions_test.csv"
DESCRIBED = 2000  # accepted training photos that others are held against


# What may change when a run is continued.
FREE = (
    *loop_config.FREE,
    "data.cache",
    "reproduce.",
    "check.",
    "networks.cache",
    "networks.origin",
    "interval",
    "rival",
)


def train_and_evaluate(
    config: Config,
    workdir: str | pathlib.Path,
    *,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Trains networks and heads, calibrates the gate, evaluates on test.

    Continues by itself where the workdir holds checkpoints.

    Args:
      config: of the run.
      workdir: folder for everything it writes.
      say: prints a line of progress.

    Returns:
      The contents of metrics.json: "test/male", "test/acceptance", ….

    Raises:
      UserError: whatever the user can mend.
    """
    configs.check_together(config)
    workdir = pathlib.Path(workdir)
    processes.start(config.parallel)
    with workdirs.recording(workdir, "pricer", config, FREE) as record:
        run = prepare(config, workdir / saved_model.NETWORKS, say)
        state, values, outcome = train_heads(run, record, say)
        if report.wants_rival(run) and linear_rival.is_installed():
            values["test/rival/male"] = rival_error(run.examples)
        save(run, workdir, state, values, outcome)
        record.finish(values)
    return values


def train_heads(
    run: Run, record: RunRecord, say: Say
) -> tuple[Any, dict[str, Any], Outcome]:
    """Trains the heads of a prepared run and evaluates them.

    Args:
      run: with features and statistics.
      record: of its workdir.
      say: prints a line of progress.

    Returns:
      (state, contents of metrics.json, outcome).
    """
    gate = run.config.gate
    record.add_data(run.examples.listings.fingerprint)
    state = run.heads.train(record.workdir, say)
    values, outcome = evaluate(run, state)
    if gate.constraint != "variance":  # which says nothing of shares
        accepted = values["validation/acceptance_at_half"]
        if line := evaluation.warning(gate.share, accepted):
            say(line)
    if is_first_process():
        write_predictions(record.workdir / PREDICTIONS, run, outcome)
    return state, values, outcome


def save(
    run: Run,
    workdir: pathlib.Path,
    state: Any,
    values: dict[str, Any],
    outcome: Outcome,
) -> None:
    """Saves all that `predict` needs, and the report.

    Args:
      run: with features and statistics.
      workdir: of the run.
      state: of the heads.
      values: contents of metrics.json.
      outcome: on the test split.
    """
    examples = run.examples
    quality, accepted = describe_accepted(run, state, outcome.calibration)
    compared = None
    if run.comparables is not None:
        ids = name_rows(examples, examples.rows("train"))
        compared = Compared(ids, run.comparables)
    model = SavedModel(
        run.config,
        run.execution.to_host(state)._replace(optimizer=None),
        {network.task: network.variables for network in run.networks},
        examples.listings.schema,
        examples.encoders,
        examples.history,
        examples.limits,
        outcome.calibration,
        quality,
        accepted,
        compared,
    )
    if is_first_process():
        saved_model.save(workdir, model)
        report.write(run, workdir, outcome, values, quality)


@activity.doing("evaluating on validation and test")
def evaluate(run: Run, state: Any) -> tuple[dict[str, Any], Outcome]:
    """Calibrates on validation, measures validation and test.

    The test rows are measured without outliers ("test/…"), as the paper's test set
    probably was, and whole ("test_whole/…").
    """
    config, examples = run.config, run.examples
    rows = {
        "validation": examples.rows("validation"),
        "test": examples.rows("test"),
        "test_whole": examples.rows("test", whole=True),
    }
    suggestions = {s: run.heads.predict(state, index) for s, index in rows.items()}
    prices = {split: examples.log_prices[index] for split, index in rows.items()}
    share = None if config.gate.constraint == "threshold" else config.gate.share
    fitted = Calibration.fit(
        suggestions["validation"], prices["validation"], share, config.interval
    )
    values: dict[str, Any] = {}
    for split in rows:
        measured = evaluation.measure(
            suggestions[split], prices[split], fitted, config.loss.band
        )
        values |= {f"{split}/{name}": value for name, value in measured.items()}
    values |= _baselines(examples, rows)
    if not config.data.path:
        readable = _readable(config, examples, rows["test"])
        scores = suggestions["test"].gate_logit
        values["test/gate_auc"] = measures.area_under_roc(scores, readable)
    for network in run.networks:
        for name, value in network.metrics.items():
            values[f"network/{network.task}/{name}"] = value
    values["train/n"] = len(examples.rows("train"))
    values["train/trimmed"] = (
        len(examples.rows("train", whole=True)) - values["train/n"]
    )
    values["rejected"] = examples.listings.rejected
    return values, Outcome(suggestions["test_whole"], fitted)


@activity.doing("fitting the linear rival")
def rival_error(examples: Examples) -> float:
    """MALE on test of a ridge regression on the attributes and words of the schema."""
    listings = examples.listings
    rows = {split: examples.rows(split) for split in splits.SPLITS}
    values = linear_rival.features(
        listings.frame,
        listings.schema,
        rows["train"],
        words=bool(linear_rival.text_columns(listings.schema)),
        attributes=True,
    )
    points = linear_rival.log_prices(values, examples.log_prices, rows)
    return float(np.abs(points - examples.log_prices[rows["test"]]).mean())


def describe_accepted(
    run: Run, state: Any, fitted: Calibration
) -> tuple[photo_quality.Limits, AcceptedItems]:
    """What accepted training photos look like, and some of them to point at."""
    examples = run.examples
    rows = examples.rows("train")
    scores = run.heads.predict(state, rows).gate_logit
    accepted = rows[fitted.threshold.accepts(scores)]
    if not len(accepted):
        accepted = rows  # no gate to speak of
    rng = np.random.default_rng(run.config.train.seed)
    some = np.sort(rng.permutation(accepted)[:DESCRIBED])
    source = examples.listings.source
    measured = [
        photo_quality.measure(decode(record["images"][0]))
        for record in (source[int(row)] for row in some)
        if record["images"]
    ]
    vectors = saved_model.unit_features(
        run.heads.rows.features.rows(some), run.heads.scales()
    )
    items = AcceptedItems(name_rows(examples, some), np.asarray(vectors, np.float16))
    return photo_quality.Limits.fit(measured), items


def name_rows(examples: Examples, rows: np.ndarray) -> np.ndarray:
    """What names rows of the table: their ids, or else their numbers."""
    column = examples.listings.schema.id
    return examples.listings.frame[column].to_numpy()[rows] if column else rows


def _baselines(examples: Examples, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
    """MALE of the median price: of all training rows, and of those of the category."""
    train = examples.rows("train")
    prices = examples.log_prices
    median = float(np.median(prices[train]))
    test = rows["test"]
    values = {"test/median_male": float(np.mean(np.abs(prices[test] - median)))}
    if "category" in examples.labels:
        category = examples.labels["category"]
        target = np.where(category.known, category.target, -1)
        medians = pd.Series(prices[train]).groupby(target[train]).median()
        medians = medians.drop(-1, errors="ignore")  # no category of its own
        guess = pd.Series(target[test]).map(medians).fillna(median).to_numpy()
        male = float(np.mean(np.abs(prices[test] - guess)))
        values["test/category_median_male"] = male
    return values


def _readable(config: Config, examples: Examples, rows: np.ndarray) -> np.ndarray:
    """Whether the photos of rows of the bazaar are without a defect: bool [n]."""
    numbers = examples.listings.frame["item"].astype(int).to_numpy()[rows]
    return bazaar.truth(config.bazaar, numbers)["readable"]


def write_predictions(path: pathlib.Path, run: Run, outcome: Outcome) -> None:
    """Writes what was suggested for each test row, and whether it was accepted."""
    examples, suggestion = run.examples, outcome.suggestion
    rows = examples.rows("test", whole=True)
    transform = run.config.prices.transform
    table = pd.DataFrame(
        {
            **examples.listings.names_of(rows),
            "row": rows,
            "price": examples.prices[rows],
            "suggested_price": trimming.from_log_prices(
                suggestion.log_price, transform
            ),
            "gate": suggestion.gate_logit,
            "accepted": outcome.calibration.threshold.accepts(suggestion.gate_logit),
            "outlier": ~examples.kept[rows],
        }
    )
    table.to_csv(path, index=False)
