"""`--mode=check`: what to know of the data and the network before training."""

import dataclasses
import pathlib

import numpy as np

from common.cli import verbs
from common.data.ingest import describe
from common.layers.backbone_sizes import title
from common.reports import data_checks, figures, page, proposals, result_tables
from common.reports.data_checks import (
    Cost,
    describe_attributes,
    peak_memory,
    rejected_blocks,
)
from common.reports.proposals import Changes, Pace
from common.training.workdirs import Say
from ican import data, train
from ican.config import Config
from ican.run import Run, prepare

FILE = "check.html"

# The head of the quickstart, which a processor trains in minutes.
_SMALL_HEAD = {
    "model.ican.attribute_features": 64,
    "model.ican.mfb_features": 32,
    "model.ican.hidden": 32,
    "model.ican.block_count": 16,
    "model.ican.block_size": 16,
    "model.ican.output": 256,
}


def write(config: Config, workdir: pathlib.Path, say: Say) -> tuple[pathlib.Path, str]:
    """Opens the data, runs a few steps, writes check.html.

    Args:
      config: of the run to come.
      workdir: gets the page.
      say: prints a line of progress.

    Returns:
      (path of the page, the summary as Markdown).

    Raises:
      UserError: whatever the user can mend.
    """
    run = prepare(config, workdir)
    listings = run.examples.listings
    hashes = data_checks.hash_photos(listings)
    leaks = data_checks.count_leaks(listings, hashes)
    groups = data_checks.find_large_groups(listings, hashes)
    say("measuring a few steps")
    cost = measure_steps(run)
    pace = pace_of(run, cost)
    minutes = pace.total(config.train.steps, config.train.eval_every) / 60
    proposal = proposals.propose(
        config,
        config.check.minutes,
        pace,
        smaller(config),
        lambda changed: measure_pace(changed, workdir, say),
    )
    summary = [
        {"": "parameters", "found": cost.parameters},
        {"": "seconds a step, data included", "found": cost.seconds},
        {"": "minutes for all steps", "found": cost.seconds * config.train.steps / 60},
        {"": "minutes with compiling and evaluations", "found": minutes},
        {"": "peak memory, GiB", "found": peak_memory()},
        *(
            {"": f"test rows whose {what} in training", "found": leaks[-1][column]}
            for what, column in data_checks.LEAKS.items()
        ),
        {"": "rejected rows", "found": listings.rejected},
        {"": "rows without photo", "found": listings.rows_without_photo},
        {"": "photos under another name", "found": listings.renamed_photos},
        {
            "": "share of a photo that is seen (see --photos.fit)",
            "found": data_checks.describe_view(listings, config.photos),
        },
    ]
    notes = [*groups, *proposal.lines()]
    currency = data.price_unit(listings.schema)
    price = figures.histogram(run.examples.prices.tolist(), xlabel=currency, log=True)
    zones = run.examples.ensemble.zones
    counts = np.bincount(
        zones.label(train.split_prices(run.examples, "train")), minlength=zones.count
    )
    bars = figures.band_bars(
        zones.names(), counts.tolist(), ylabel="training rows", counts=counts.tolist()
    )
    sections = [
        page.Section(
            "Prices",
            [
                page.Picture(price, "Histogram of all prices, logarithmic"),
                page.Picture(bars, "Training rows in each price zone"),
            ],
        ),
        page.Section("Leaks", [page.Table(leaks), *map(page.Text, groups)]),
        page.Section("Attributes", [page.Table(describe_attributes(listings))]),
        page.Section("Rejected rows", rejected_blocks(listings)),
    ]
    if notes:
        sections.insert(0, page.Section("To look at", [*map(page.Text, notes)]))
    path = page.write_page(
        workdir / FILE,
        "ican: before training",
        describe(listings),
        page.Table(summary),
        sections,
    )
    return path, "\n".join([result_tables.to_markdown(summary), *notes]).rstrip()


def measure_steps(run: Run) -> Cost:
    """What a step costs, by running a few.

    With large photos a step takes in proportion to the batch: a small one is measured.
    """
    config, size = run.config.train, run.config.train.batch_size
    if run.config.model.sees_photos and not run.config.backbone.cache:
        photo = run.config.photos.crop**2
        size = data_checks.small_batch(run.execution, size, photo)
    small = dataclasses.replace(config, batch_size=size)
    with run.examples.train_batches(small, 0) as batches:
        cost = data_checks.measure_steps(
            run.execution, run.learner.init, run.learner.step, dict(run.start), batches
        )
    return dataclasses.replace(cost, seconds=cost.seconds * config.batch_size / size)


def pace_of(run: Run, cost: Cost) -> Pace:
    """What a run takes; a look at a row costs a third of a step of it."""
    look = cost.seconds / run.config.train.batch_size / 3
    rows = {s: len(run.examples.listings.indices(s)) for s in ("validation", "test")}
    once = 2 * cost.compiling + look * sum(rows.values())
    return Pace(cost.seconds, look * len(run.examples.halves[0]), once)


def measure_pace(config: Config, workdir: pathlib.Path, say: Say) -> Pace:
    """What a run of another config takes."""
    say(
        f"trying photos of {config.photos.crop} pixels,"
        f" {title(config.backbone.network)}"
    )
    run = prepare(config, workdir)
    return pace_of(run, measure_steps(run))


def smaller(config: Config) -> list[Changes]:
    """What makes a step cheaper, from a little to a lot."""
    head = proposals.lower(config, {**_SMALL_HEAD, "train.batch_size": 32})
    if not config.model.sees_photos or config.backbone.cache:
        return [head]
    photos = proposals.lower(config, {"photos.resize": 72, "photos.crop": 64})
    depth = config.backbone.depth
    fixed = config.backbone.weights or config.backbone.kind != "resnet"
    fewer = {} if fixed or depth in ("tiny", "18") else {"backbone.depth": "18"}
    fewest = {} if fixed or depth == "tiny" else {"backbone.depth": "tiny"}
    first = {**photos, **fewer}
    return [first, {**first, **head}, {**first, **head, **fewest}]


run = verbs.check(write)
