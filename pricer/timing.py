"""How long a run will take on this machine, found by running a few steps of it."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from common.backbone.extraction import load_photos, photo_vectors
from common.layers.backbone_sizes import sizes_of, title
from common.parallel.execution import Execution
from common.reports import data_checks, proposals
from common.reports.data_checks import Cost
from common.reports.proposals import Changes, Pace, Proposal
from common.training.workdirs import Say
from pricer import comparables, networks
from pricer.config import Config
from pricer.data import Examples
from pricer.inputs.labels import Labels
from pricer.run import labels_to_learn, open_run
from pricer.step import Learner, Scales


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """What a run will train on, before its first network.

    Attributes:
      config: of the run.
      execution: what it runs on.
      examples: rows and what was fitted on them.
      photos: hashes of the photos of each of the N rows.
      networks: what each is to learn.
      rows: {task: {split: int64 [n]}} the rows of each network, see `networks.rows_of`.
    """

    config: Config
    execution: Execution
    examples: Examples
    photos: Sequence[Sequence[str]]
    networks: Sequence[Labels]
    rows: Mapping[str, Mapping[str, np.ndarray]]


def prepare(config: Config) -> Plan:
    """Opens the data and reads all photos.

    Raises:
      UserError: whatever the user can mend.
    """
    execution, examples = open_run(config)
    photos = data_checks.hash_photos(examples.listings)
    learnt = labels_to_learn(config, examples)
    rows = {
        x.task: networks.rows_of(x, examples.listings, examples.kept) for x in learnt
    }
    return Plan(config, execution, examples, photos, learnt, rows)


@dataclasses.dataclass(frozen=True)
class Timing:
    """What the parts of a run cost.

    Attributes:
      network: a step of the first network.
      heads: a step of the heads.
      extraction: seconds to extract the features of a row.
    """

    network: Cost
    heads: Cost
    extraction: float


def time_run(plan: Plan) -> Timing:
    """Runs a few steps of each kind."""
    return Timing(measure_network(plan), measure_heads(plan), measure_extraction(plan))


def measure_network(plan: Plan) -> Cost:
    """What a step of the first network costs, its photos included.

    With large photos it takes in proportion to the batch: a small one is measured.
    """
    config, learnt, execution = plan.config, plan.networks[0], plan.execution
    listings, rows = plan.examples.listings, plan.rows[learnt.task]
    photos = networks.photo_rows(config, learnt, listings, rows)
    learner = networks.make_learner(config, learnt, execution.devices)
    start = networks.starting_weights(config)
    loop = networks.make_loop(config)
    photo = config.photos.crop**2
    size = data_checks.small_batch(execution, loop.batch_size, photo)
    small = dataclasses.replace(loop, batch_size=size)
    with photos.train_batches(small, 0) as batches:
        cost = data_checks.measure_steps(
            execution, learner.init, learner.step, start, batches
        )
    return dataclasses.replace(cost, seconds=cost.seconds * loop.batch_size / size)


def measure_extraction(plan: Plan) -> float:
    """Seconds to extract the features of a row, its photos included."""
    config, photos = plan.config, plan.config.photos
    network = networks.make_network(config, 1, plan.execution.devices)
    example = np.zeros((1, photos.crop, photos.crop, 3), np.uint8)
    variables = plan.execution.init(lambda: network.init(jax.random.key(0), example))
    return data_checks.measure_prediction(
        plan.execution,
        functools.partial(photo_vectors, network),
        variables,
        plan.examples.listings.source,
        functools.partial(load_photos, photos),
        data_checks.small_batch(
            plan.execution, config.networks.batch_size, photos.crop**2
        ),
    )


def measure_heads(plan: Plan) -> Cost:
    """What a step of the heads costs, on inputs that are all zero."""
    config, examples, execution = plan.config, plan.examples, plan.execution
    width = len(plan.networks) * sizes_of(config.networks.network).width
    statistics = examples.context.statistics.shape[1]
    if config.comparables.count:
        statistics += len(comparables.NAMES)
    spec = examples.encoders.spec()
    learner = Learner(config, width, statistics, devices=execution.devices, spec=spec)
    size = config.train.batch_size // jax.process_count()
    rows = np.resize(examples.rows("train"), size)
    batch = {
        "features": np.zeros((size, width), np.float16),
        "statistics": np.zeros((size, statistics), np.float32),
        "log_price": examples.log_prices[rows].astype(np.float32),
        **examples.context.rows(rows).words,
    }
    zero, one = np.float32(0), np.float32(1)
    bins = config.statistics.bins
    edges = np.zeros((statistics, bins + 1), np.float32) if bins else None
    scales = Scales(np.full(width, zero), np.full(width, one), zero, one, edges)
    return data_checks.measure_steps(
        execution, learner.init, learner.step, scales, itertools.repeat(batch)
    )


def estimate_minutes(
    plan: Plan, step: float, extraction: float, head_step: float
) -> dict[str, float]:
    """How long a run will take: networks with their evaluations, features, heads.

    Args:
      plan: with the rows of each network.
      step: seconds of a step of a network.
      extraction: seconds to extract the features of a row.
      head_step: seconds of a step of the heads.
    """
    config, settings, count = plan.config, plan.config.networks, len(plan.networks)
    evaluations = math.ceil(settings.steps / settings.eval_every)
    rows = plan.rows.values()
    evaluated = sum(evaluations * len(x["validation"]) + len(x["test"]) for x in rows)
    heads = config.train.steps + config.warm_up.steps * config.warm_up.use
    seconds = {
        f"{count} networks": count * settings.steps * step + evaluated * extraction,
        "their features": count * len(plan.photos) * extraction,
        "the heads": heads * head_step,
    }
    return {f"minutes for {name}": value / 60 for name, value in seconds.items()}


def pace_of(plan: Plan, timing: Timing) -> Pace:
    """What a run takes, by the steps of each network."""
    config, count, rows = plan.config, len(plan.networks), plan.rows.values()
    looks = sum(len(x["test"]) for x in rows) + count * len(plan.photos)
    heads = config.train.steps + config.warm_up.steps * config.warm_up.use
    compiling = 2 * count * timing.network.compiling + 2 * timing.heads.compiling
    return Pace(
        count * timing.network.seconds,
        timing.extraction * sum(len(x["validation"]) for x in rows),
        compiling + timing.extraction * looks + timing.heads.seconds * heads,
    )


def propose(plan: Plan, timing: Timing, say: Say) -> Proposal:
    """Flags with which the run ends in time."""

    def measure_pace(config: Config) -> Pace:
        say(
            f"trying photos of {config.photos.crop} pixels,"
            f" {title(config.networks.network)}"
        )
        changed = dataclasses.replace(plan, config=config)
        return pace_of(changed, time_run(changed))

    limit = plan.config.check.minutes
    return proposals.propose(
        plan.config,
        limit,
        pace_of(plan, timing),
        smaller(plan.config),
        measure_pace,
        "networks",
    )


def smaller(config: Config) -> list[Changes]:
    """What makes a run cheaper, from a little to a lot."""
    photos = proposals.lower(config, {"photos.resize": 72, "photos.crop": 64})
    heads = {"train.batch_size": 1024, "train.steps": 300, "warm_up.steps": 300}
    heads = proposals.lower(config, heads)
    depth = config.networks.depth
    fixed = config.networks.weights or config.networks.kind != "resnet"
    fewer = {} if fixed or depth in ("tiny", "18") else {"networks.depth": "18"}
    fewest = {} if fixed or depth == "tiny" else {"networks.depth": "tiny"}
    first = {**photos, **fewer}
    return [first, {**first, **heads}, {**first, **heads, **fewest}]
