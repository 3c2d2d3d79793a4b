"""What stands before the heads are trained: data, networks, features, statistics."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import jax
import numpy as np

from common import pretrained
from common.parallel.execution import Execution, make_execution
from common.training import workdirs
from pricer import (
    comparables,
    data,
    features,
    networks,
)
from pricer.comparables import Comparables
from pricer.config import TASKS, Config
from pricer.data import Examples, HeadRows
from pricer.evaluation import Calibration
from pricer.heads import Heads
from pricer.inputs import labels
from pricer.inputs.labels import Labels
from pricer.model import Suggestion
from pricer.networks import Trained as TrainedNetwork

Say = Callable[[str], None]


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
    execution = make_execution(config.parallel)
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


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came out on the whole test split.

    Attributes:
      said: of each of its rows.
      calibration: fitted on validation.
    """

    said: Suggestion
    calibration: Calibration
