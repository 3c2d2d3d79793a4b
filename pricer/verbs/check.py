"""`--mode=check`: what to know of data, networks and disk before training."""

import dataclasses
import functools
import itertools
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from common.backbone.extraction import load_photos, photo_vectors
from common.data.ingest import describe
from common.layers import resnet
from common.parallel.execution import Execution, make_execution
from common.reports import data_checks, figures, page, result_tables
from common.reports.data_checks import Cost
from common.reports.page import Section
from common.tables.splits import SPLITS
from common.training.workdirs import Say
from pricer import comparables, networks
from pricer.config import TASKS, Config
from pricer.data import Examples
from pricer.inputs import labels, sales, trimming
from pricer.inputs.labels import Labels
from pricer.run import labels_to_learn, open_examples
from pricer.step import Learner, Scales

FILE = "check.html"
NAMED = 8  # left-out classes that are named
MIB = 2**20

Part = tuple[dict[str, Any], Section]  # what the summary says of it, and the rest


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
    execution = make_execution(config.parallel)
    execution.check_batch(config.train.batch_size)
    execution.check_batch(config.networks.batch_size)
    examples = open_examples(config)
    photos = data_checks.hash_photos(examples.listings)
    learnt = labels_to_learn(config, examples)
    rows = {
        x.task: networks.rows_of(x, examples.listings, examples.kept) for x in learnt
    }
    return Plan(config, execution, examples, photos, learnt, rows)


def write(config: Config, workdir: pathlib.Path, say: Say) -> tuple[pathlib.Path, str]:
    """Opens the data, runs a few steps of network and heads, writes check.html.

    Args:
      config: of the run to come.
      workdir: gets the page.
      say: prints a line of progress.

    Returns:
      (path of the page, the summary as Markdown with what to look at below it).

    Raises:
      UserError: whatever the user can mend.
    """
    plan = prepare(config)
    say("measuring a few steps")
    listings = plan.examples.listings
    show = (count_rows, describe_networks, describe_statistics, count_leaks, measure)
    parts = [part(plan) for part in show]
    values = {name: value for part, _ in parts for name, value in part.items()}
    summary = [{"": name, "found": value} for name, value in values.items()]
    notes = [
        *data_checks.list_files(listings),
        *data_checks.find_large_groups(listings, plan.photos),
        *data_checks.warn_of_disk(size_stores(plan)[1]["bytes"], config.networks.cache),
    ]
    attributes = data_checks.describe_attributes(listings)
    sections = [
        *([Section("To look at", [*map(page.Text, notes)])] if notes else []),
        *(section for _, section in parts),
        Section("Attributes", [page.Table(attributes)]),
        Section("Rejected rows", data_checks.rejected_blocks(listings)),
        Section("Dropped photos", data_checks.dropped_blocks(listings)),
    ]
    path = page.write_page(
        workdir / FILE,
        "pricer: before training",
        describe(listings),
        page.Table(summary),
        sections,
    )
    return path, "\n".join([result_tables.to_markdown(summary), *notes]).rstrip()


def count_rows(plan: Plan) -> Part:
    """Rows of each split, without a photo and beyond the price limits."""
    examples, limits = plan.examples, plan.examples.limits
    table: list[dict[str, Any]] = []
    bare = np.array([not hashes for hashes in plan.photos], bool)
    for split in SPLITS:
        rows = examples.rows(split, whole=True)
        prices = examples.log_prices[rows]
        table.append(
            {
                "split": split,
                "rows": len(rows),
                "without a photo": int(bare[rows].sum()),
                "below the limits": int((prices < limits.low).sum()),
                "above the limits": int((prices > limits.high).sum()),
                "within them": len(examples.rows(split)),
            }
        )
    total = {name: sum(row[name] for row in table) for name in [*table[0]][1:]}
    summary = {
        **{f"{row['split']} rows": row["rows"] for row in table},
        "rejected rows": examples.listings.rejected,
        "dropped photos": examples.listings.dropped_photos,
        "photos under another name": examples.listings.renamed_photos,
        "share of a photo that is seen (see --photos.fit)": (
            data_checks.describe_view(examples.listings, plan.config.photos)
        ),
        "rows without a photo": total["without a photo"],
        "rows beyond the price limits": total["rows"] - total["within them"],
    }
    table.append({"split": "all", **total})
    return summary, Section("Rows and prices", [page.Table(table), draw_prices(plan)])


def draw_prices(plan: Plan) -> page.Picture:
    """Histogram of all prices in the logarithm, with the limits."""
    target, limits = plan.examples.listings.schema.target, plan.examples.limits
    unit = target.currency if target and target.currency else "price"
    figure = figures.histogram(plan.examples.prices.tolist(), xlabel=unit, log=True)
    text = "No prices are left out as outliers (--prices.trim=0)."
    if limits.share:
        transform = plan.config.prices.transform
        ends = trimming.from_log_prices([limits.low, limits.high], transform).tolist()
        for end in ends:
            figure.axes[0].axvline(end, color=figures.COLOURS[1], linestyle="--")
        low, high = (result_tables.format_number(end, 2) for end in ends)
        text = (
            f"The dashed limits, {low} and {high} {unit}, are those of --prices.trim="
            f"{limits.share:g}, fitted on the training rows."
        )
    return page.Picture(figure, "Histogram of all prices, logarithmic", text)


def describe_networks(plan: Plan) -> Part:
    """What each network learns, from how many rows, and what is left out."""
    config, listings = plan.config, plan.examples.listings
    kinds = {"one": "one class", "several": "a set", "price": "the price"}
    least = config.labels.min_count
    learnt = {
        x.task: {
            "learns": kinds[x.kind],
            "classes": len(x.names) or None,
            **{split: len(rows) for split, rows in plan.rows[x.task].items()},
        }
        for x in plan.networks
    }
    train_rows = listings.frame.iloc[listings.indices("train")]
    table = []
    for task in TASKS if config.model.features == "multiple" else learnt:
        row = {"network": task, **learnt.get(task, {"learns": "nothing: no attribute"})}
        given = getattr(config.labels, task, "")
        names = [given] if isinstance(given, str) else given
        if any(names):
            read = [labels.find(listings.schema, name, task) for name in names if name]
            rare = labels.find_rare(train_rows, read, least)
            more = [f"and {len(rare) - NAMED:,} more"] if len(rare) > NAMED else []
            row |= {"rare": len(rare), "such as": ", ".join(rare[:NAMED] + more)}
            if task not in learnt:
                row["learns"] = "nothing: too few classes are left"
        table.append(row)
    columns = ["network", "learns", "classes", *SPLITS, "rare", "such as"]
    caption = (
        f"Rows with label and photo. Rare: classes of under {least} training rows."
    )
    shown = page.Table(table, columns, caption)
    return {"networks": len(plan.networks)}, Section("Networks", [shown])


def describe_statistics(plan: Plan) -> Part:
    """Which statistics of prices sold before there are, and who takes the overall ones.

    Counted are validation and test rows within the price limits, against the training
    rows within them.
    """
    config, examples, title = plan.config, plan.examples, "Statistics of earlier prices"
    count = config.comparables.count
    alike = page.Text(
        f"Comparables: the prices of the {count:,} most alike training photos."
        if count
        else "The heads get no comparables (--comparables.count)."
    )
    if not config.statistics.use:
        text = page.Text("The heads get no statistics (--statistics.use).")
        return {"statistics of earlier prices": 0}, Section(title, [text, alike])
    history, sold = examples.history, examples.rows("train")
    times = sale_times(examples)
    summary: dict[str, Any] = {"statistics of earlier prices": len(history.available)}
    table = []
    for key in ("category", "seller"):
        name = getattr(config.labels, key)
        cells = labels.texts(examples.listings, name, key)
        if cells is None:
            continue
        for split in SPLITS[1:]:
            rows = examples.rows(split)
            unseen = sales.count_without_sales(cells, sold, rows, times)
            share = f"{sum(unseen.values()) / max(len(rows), 1):.1%}"
            row = {"of": name, "split": split, "rows": len(rows), **unseen}
            table.append({**row, "take the prices of all": share})
            summary[f"{split} rows without a sale of their {name}"] = share
    keys = ", ".join(dict.fromkeys(row["of"] for row in table)) or "none"
    text = page.Text(
        f"{len(history.available)} of {len(history.names)} statistics are more than"
        f" copies of those of all sales. Keys: {keys}. {_about_times(examples, times)}"
    )
    shown = page.Table(table, caption="Rows within the price limits.")
    return summary, Section(title, [text, alike, shown])


def sale_times(examples: Examples) -> np.ndarray | None:
    """Times [N], NaN where unknown; None where no training row has one."""
    column = examples.listings.schema.time
    if column is None:
        return None
    times = examples.listings.frame[column].to_numpy(np.float64)
    return None if np.isnan(times[examples.rows("train")]).all() else times


def _about_times(examples: Examples, times: np.ndarray | None) -> str:
    if times is None:
        return "Without times a row sees all training rows; by key, all but itself."
    undated = int(np.isnan(times[examples.rows("train")]).sum())
    return (
        f"By {examples.listings.schema.time!r} a row sees earlier training rows only;"
        f" {undated:,} of them have no time."
    )


def count_leaks(plan: Plan) -> Part:
    """Rows of validation and test with a near-copy in training."""
    listings = plan.examples.listings
    table = data_checks.count_leaks(listings, plan.photos)
    summary = {
        f"test rows whose {what} in training": table[-1][column]
        for what, column in data_checks.LEAKS.items()
    }
    group = listings.schema.group
    caption = "" if group else "The schema names no group: no text is compared."
    return summary, Section("Leaks", [page.Table(table, caption=caption)])


def measure(plan: Plan) -> Part:
    """Parameters, bytes, times and memory, by running a few steps of each kind."""
    network, heads = measure_network(plan), measure_heads(plan)
    extraction = measure_extraction(plan)
    stores = size_stores(plan)
    needed, free = (row["bytes"] for row in stores[1:])
    summary = {
        "features on disk, MiB": needed / MIB,
        "free for them, MiB": free / MIB,
        f"parameters of the network for {plan.networks[0].task}": network.parameters,
        "parameters of the heads": heads.parameters,
        "seconds a step of a network, data included": network.seconds,
        **estimate_minutes(plan, network.seconds, extraction, heads.seconds),
        "peak memory, GiB": data_checks.peak_memory(),
    }
    text = (
        f"The times on top: every network as that for {plan.networks[0].task}, with its"
        " evaluations; the heads without theirs, on features in memory."
    )
    return summary, Section("Disk and time", [page.Table(stores), page.Text(text)])


def size_stores(plan: Plan) -> list[dict[str, Any]]:
    """Bytes of the feature stores (float16), and what is free where they are to lie."""
    count, rows = len(plan.networks), len(plan.photos)
    width = resnet.width(plan.config.networks.depth)
    sizes = {"of one network": width, f"of all {count}": count * width}
    table = [
        {"features": name, "rows": rows, "width": wide, "bytes": rows * wide * 2}
        for name, wide in sizes.items()
    ]
    folder = plan.config.networks.cache
    free = data_checks.free_bytes(folder)
    return [*table, {"features": f"free in {folder}", "bytes": free}]


def measure_network(plan: Plan) -> Cost:
    """What a step of the first network costs, its photos included."""
    config, learnt, execution = plan.config, plan.networks[0], plan.execution
    listings, rows = plan.examples.listings, plan.rows[learnt.task]
    photos = networks.photo_rows(config, learnt, listings, rows)
    learner = networks.make_learner(config, learnt, execution.devices)
    start = networks.starting_weights(config)
    with photos.train_batches(networks.make_loop(config), 0) as batches:
        return data_checks.measure_steps(
            execution, learner.init, learner.step, start, batches
        )


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
        config.networks.batch_size,
    )


def measure_heads(plan: Plan) -> Cost:
    """What a step of the heads costs, on inputs that are all zero."""
    config, examples, execution = plan.config, plan.examples, plan.execution
    width = len(plan.networks) * resnet.width(config.networks.depth)
    statistics = examples.context.statistics.shape[1]
    if config.comparables.count:
        statistics += len(comparables.NAMES)
    learner = Learner(config, width, statistics, devices=execution.devices)
    size = config.train.batch_size // jax.process_count()
    rows = np.resize(examples.rows("train"), size)
    batch = {
        "features": np.zeros((size, width), np.float16),
        "statistics": np.zeros((size, statistics), np.float32),
        "log_price": examples.log_prices[rows].astype(np.float32),
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
