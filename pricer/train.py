"""Training and evaluation: networks, features, statistics, heads, in this order."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import pandas as pd

from common import pretrained
from common.data.images import decode
from common.parallel import execution as parallel
from common.parallel.execution import Execution
from common.training import loop_config, workdirs
from pricer import (
    comparables,
    data,
    evaluation,
    features,
    networks,
    report,
    saved_model,
)
from pricer import metrics as measures
from pricer.comparables import Comparables
from pricer.config import TASKS, Config
from pricer.data import Examples, HeadRows
from pricer.evaluation import Calibration
from pricer.generated import bazaar
from pricer.heads import Heads
from pricer.inputs import labels, photo_quality, trimming
from pricer.inputs.labels import Labels
from pricer.model import Suggestion
from pricer.networks import Trained as TrainedNetwork

PREDICTIONS = "predictions_test.csv"
DESCRIBED = 2000  # accepted training photos that others are held against

Say = Callable[[str], None]

# What may change when a run is continued.
FREE = (*loop_config.FREE, "reproduce.", "features", "interval", "networks.origin")


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A run whose features are there.

    Attributes:
      config: of the run.
      execution: what it runs on.
      examples: rows and what was fitted on them.
      networks: that the features come from.
      comparables: training items that photos are compared with, if any.
      heads: regression and gate.
    """

    config: Config
    execution: Execution
    examples: Examples
    networks: Sequence[TrainedNetwork]
    comparables: Comparables | None
    heads: Heads


def prepare(config: Config, folder: pathlib.Path, say: Say) -> Prepared:
    """Opens the data, trains the networks that are not there yet, extracts features.

    Args:
      config: of the run.
      folder: of the networks.
      say: prints a line of progress.

    Raises:
      UserError: whatever the user can mend.
    """
    execution = parallel.make_execution(config.parallel)
    execution.check_batch(config.train.batch_size)
    execution.check_batch(config.networks.batch_size)
    examples = data.make_examples(config, data.load_listings(config))
    found = []
    for wanted in wanted_labels(config, examples):
        say(f"network for {wanted.task}: {int(wanted.usable.sum()):,} labelled rows")
        found.append(train_network(config, wanted, examples, execution, folder))
    stored = features.extract(config, found, examples.listings, execution)
    statistics, compared = examples.context.statistics, None
    if config.comparables.count:
        say(f"comparing {len(statistics):,} photos with those of training")
        compared, columns = comparables.fit(
            config.comparables,
            stored,
            examples.rows("train"),
            examples.log_prices,
            examples.context.groups,
            execution=execution,
            batch_size=config.networks.batch_size,
        )
        statistics = np.concatenate([statistics, columns], axis=1)
    heads = Heads(
        config,
        HeadRows(stored, statistics, examples.log_prices),
        examples.rows("train"),
        examples.rows("validation"),
        execution,
        {
            "data": examples.listings.fingerprint,
            "features": [store.key["weights"] for store in stored.stores],
        },
    )
    return Prepared(config, execution, examples, found, compared, heads)


def wanted_labels(config: Config, examples: Examples) -> list[Labels]:
    """What the networks of a run learn: four tasks, or the price alone."""
    if config.model.features == "multiple":
        return [examples.labels[task] for task in TASKS if task in examples.labels]
    return [labels.price_labels(examples.log_prices, examples.rows("train"))]


def train_network(
    config: Config,
    wanted: Labels,
    examples: Examples,
    execution: Execution,
    folder: pathlib.Path,
) -> TrainedNetwork:
    """Trains one network and saves it; reads it where that is done.

    Args:
      config: of the run.
      wanted: what the network learns.
      examples: rows.
      execution: what to run on.
      folder: of the networks; gets <task>/network.safetensors and metrics.json.
    """
    workdir = folder / wanted.task
    found = networks.train_network(
        config, wanted, examples.listings, examples.kept, execution, workdir
    )
    if jax.process_index() == 0:
        path = workdir / networks.WEIGHTS
        pretrained.save_resnet(path, config.networks.depth, found.variables)
        workdirs.write_metrics(workdir / workdirs.METRICS, found.metrics)
    return found


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
    workdir = pathlib.Path(workdir)
    parallel.start(config.parallel)
    if jax.process_index() == 0:
        workdirs.start_record(workdir, "pricer", config, FREE)
    run = prepare(config, workdir / saved_model.NETWORKS, say)
    state, values, outcome = train_heads(run, workdir, say)
    save(run, workdir, state, values, outcome)
    if jax.process_index() == 0:
        # Last: it says that the run has ended.
        workdirs.write_metrics(workdir / workdirs.METRICS, values)
    return values


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came out on the whole test split.

    Attributes:
      said: of each of its rows.
      calibration: fitted on validation.
    """

    said: Suggestion
    calibration: Calibration


def train_heads(
    run: Prepared, workdir: pathlib.Path, say: Say
) -> tuple[Any, dict[str, Any], Outcome]:
    """Trains the heads of a prepared run and evaluates them.

    Args:
      run: with features and statistics.
      workdir: of the run; its record has been started.
      say: prints a line of progress.

    Returns:
      (state, contents of metrics.json, outcome).
    """
    gate = run.config.gate
    state = run.heads.train(workdir)
    values, outcome = judge(run, state)
    if gate.constraint != "variance":  # which says nothing of shares
        accepted = values["validation/acceptance_at_half"]
        if line := evaluation.warning(gate.share, accepted):
            say(line)
    if jax.process_index() == 0:
        write_predictions(workdir / PREDICTIONS, run, outcome)
    return state, values, outcome


def save(
    run: Prepared,
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
    quality, like = describe_accepted(run, state, outcome.calibration)
    compared = None
    if run.comparables is not None:
        ids = name_rows(run.examples, run.examples.rows("train"))
        compared = saved_model.Compared(ids, run.comparables)
    if jax.process_index() == 0:
        saved_model.save(
            workdir,
            run.config,
            run.networks,
            run.examples.listings.schema,
            run.examples.history,
            run.examples.limits,
            outcome.calibration,
            quality,
            like,
            compared,
        )
        report.write(run, workdir, outcome, values, quality)


def judge(run: Prepared, state: Any) -> tuple[dict[str, Any], Outcome]:
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
    said = {split: run.heads.see(state, found) for split, found in rows.items()}
    prices = {split: examples.log_prices[found] for split, found in rows.items()}
    share = None if config.gate.constraint == "threshold" else config.gate.share
    fitted = Calibration.fit(
        said["validation"], prices["validation"], share, config.interval
    )
    values: dict[str, Any] = {}
    for split in rows:
        measured = evaluation.measure(
            said[split], prices[split], fitted, config.loss.band
        )
        values |= {f"{split}/{name}": value for name, value in measured.items()}
    values |= _baselines(examples, rows)
    if not config.data.path:
        readable = _readable(config, examples, rows["test"])
        scores = said["test"].gate_logit
        values["test/gate_auc"] = measures.area_under_roc(scores, readable)
    for network in run.networks:
        for name, value in network.metrics.items():
            values[f"network/{network.task}/{name}"] = value
    values["train/n"] = len(examples.rows("train"))
    values["train/trimmed"] = (
        len(examples.rows("train", whole=True)) - values["train/n"]
    )
    values["rejected"] = examples.listings.rejected
    return values, Outcome(said["test_whole"], fitted)


def describe_accepted(
    run: Prepared, state: Any, fitted: Calibration
) -> tuple[photo_quality.Limits, saved_model.Examples]:
    """What accepted training photos look like, and some of them to point at."""
    examples = run.examples
    rows = examples.rows("train")
    accepted = rows[fitted.threshold.accepts(run.heads.see(state, rows).gate_logit)]
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
    return (
        photo_quality.Limits.fit(measured),
        saved_model.Examples(
            name_rows(examples, some), np.asarray(vectors, np.float16)
        ),
    )


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
        found = examples.labels["category"]
        target = np.where(found.known, found.target, -1)
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


def write_predictions(path: pathlib.Path, run: Prepared, outcome: Outcome) -> None:
    """Writes what was suggested for each test row, and whether it was accepted."""
    examples, said = run.examples, outcome.said
    rows = examples.rows("test", whole=True)
    transform = run.config.prices.transform
    table = pd.DataFrame(
        {
            "row": rows,
            "price": examples.prices[rows],
            "suggested_price": trimming.from_log_prices(said.log_price, transform),
            "gate": said.gate_logit,
            "accepted": outcome.calibration.threshold.accepts(said.gate_logit),
            "outlier": ~examples.kept[rows],
        }
    )
    table.to_csv(path, index=False)
