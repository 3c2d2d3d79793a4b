"""`--mode=check`: what to know of the data and the network before training."""

import pathlib
from typing import Any

import numpy as np

from common.data.ingest import describe
from common.reports import data_checks, figures, page, result_tables
from common.reports.data_checks import (
    describe_attributes,
    peak_memory,
    rejected_blocks,
)
from common.training.workdirs import Say
from ican import data, train
from ican.config import Config
from ican.run import Run, prepare

FILE = "check.html"


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
    notes = data_checks.find_large_groups(listings, hashes)
    say("measuring a few steps")
    summary = [
        *({"": name, "found": value} for name, value in measure_steps(run).items()),
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
        page.Section("Leaks", [page.Table(leaks), *map(page.Text, notes)]),
        page.Section("Attributes", [page.Table(describe_attributes(listings))]),
        page.Section("Rejected rows", rejected_blocks(listings)),
    ]
    path = page.write_page(
        workdir / FILE,
        "ican: before training",
        describe(listings),
        page.Table(summary),
        sections,
    )
    return path, "\n".join([result_tables.to_markdown(summary), *notes]).rstrip()


def measure_steps(run: Run) -> dict[str, Any]:
    """Parameters, time of a step and memory, by running a few steps."""
    config = run.config
    with run.examples.train_batches(config.train, 0) as batches:
        cost = data_checks.measure_steps(
            run.execution, run.learner.init, run.learner.step, dict(run.start), batches
        )
    return {
        "parameters": cost.parameters,
        "seconds a step, data included": cost.seconds,
        "minutes for all steps": cost.seconds * config.train.steps / 60,
        "peak memory, GiB": peak_memory(),
    }
