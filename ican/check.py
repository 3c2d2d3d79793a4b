"""`--mode=check`: what to know of the data and the network before training."""

import hashlib
import pathlib
import resource
import time
from typing import Any

import jax
import numpy as np
import pandas as pd

from common import figures, report, result_tables, splits
from common.data.ingest import describe
from common.data.listings import Listings
from common.data.prepared import REJECTED_FILE
from ican import data, train
from ican.config import Config
from ican.train import Prepared

FILE = "check.html"
STEPS = 3  # timed after one that compiles


def write(config: Config, workdir: pathlib.Path) -> tuple[pathlib.Path, str]:
    """Opens the data, runs a few steps, writes check.html.

    Args:
      config: of the run to come.
      workdir: gets the page.

    Returns:
      (path of the page, the summary as Markdown).

    Raises:
      UserError: whatever the user can mend.
    """
    run = train.prepare(config, workdir)
    listings = run.examples.listings
    leak = find_leaks(listings)
    summary = [
        *({"": name, "found": value} for name, value in measure_steps(run).items()),
        {"": "test rows whose text is in training", "found": leak.text},
        {"": "test rows whose photo is in training", "found": leak.photo},
        {"": "rejected rows", "found": listings.rejected},
        {"": "rows without photo", "found": listings.rows_without_photo},
    ]
    currency = data.price_unit(listings.schema)
    price = figures.histogram(run.examples.prices.tolist(), xlabel=currency, log=True)
    zones = run.examples.ensemble.zones
    counts = np.bincount(
        zones.label(train.prices_of(run.examples, "train")), minlength=zones.count
    )
    bars = figures.band_bars(
        zones.names(), counts.tolist(), ylabel="training rows", counts=counts.tolist()
    )
    sections = [
        report.Section(
            "Prices",
            [
                report.Picture(price, "Histogram of all prices, logarithmic"),
                report.Picture(bars, "Training rows in each price zone"),
            ],
        ),
        report.Section("Attributes", [report.Table(describe_attributes(listings))]),
        report.Section("Rejected rows", rejected_blocks(listings)),
    ]
    html = report.render_page(
        "ican: before training", describe(listings), report.Table(summary), sections
    )
    path = workdir / FILE
    path.write_text(html, encoding="utf-8")
    return path, result_tables.to_markdown(summary)


def find_leaks(listings: Listings) -> splits.Leakage:
    """Compares texts and photos of the test rows with those of training."""
    hashes = [
        [hashlib.sha256(photo).hexdigest() for photo in listings.source[row]["images"]]
        for row in range(len(listings.frame))
    ]
    split = listings.frame["split"].to_numpy()
    return splits.leakage(listings.frame, listings.schema, split, hashes)


def measure_steps(run: Prepared) -> dict[str, Any]:
    """Parameters, time of a step and memory, by running a few steps."""
    execution, config = run.execution, run.config

    def keyed_step(state, batch, key_data):
        return run.task.step(state, batch, jax.random.wrap_key_data(key_data))

    step = execution.compile_step(keyed_step)
    state = execution.init(run.task.init, execution.replicate(dict(run.start)))
    sizes = jax.tree.map(np.size, execution.to_host(state).params)
    key_data = np.zeros(2, np.uint32)
    with run.examples.train_batches(config.train, 0) as batches:
        for number in range(STEPS + 1):
            state, measured = step(state, next(batches), key_data)
            jax.block_until_ready(measured)
            if number == 0:
                began = time.monotonic()
    seconds = (time.monotonic() - began) / STEPS
    return {
        "parameters": sum(jax.tree.leaves(sizes)),
        "seconds a step, data included": seconds,
        "minutes for all steps": seconds * config.train.steps / 60,
        "peak memory, GiB": peak_memory(),
    }


def peak_memory() -> float:
    """Of the first accelerator, or of the process where there is none; GiB."""
    stats = jax.local_devices()[0].memory_stats() or {}
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return stats.get("peak_bytes_in_use", kilobytes * 1024) / 2**30


def describe_attributes(listings: Listings) -> list[dict[str, Any]]:
    """A row for each attribute: kind, missing values, what is commonest."""
    rows = []
    for attribute in listings.schema.attributes:
        for column in attribute.columns:
            cells = listings.frame[column]
            known = cells.dropna()
            rows.append(
                {
                    "attribute": attribute.name,
                    "kind": attribute.kind,
                    "column": column,
                    "missing": f"{cells.isna().mean():.1%}",
                    "different": known.nunique(),
                    "typical": _typical(known),
                }
            )
    return rows


def _typical(cells: pd.Series) -> str:
    if cells.empty:
        return ""
    if pd.api.types.is_numeric_dtype(cells):
        low, middle, high = cells.quantile([0.05, 0.5, 0.95])
        return f"{middle:g} ({low:g} to {high:g})"
    commonest = cells.mode().iloc[0]
    return f"{commonest} ({(cells == commonest).mean():.0%})"


def rejected_blocks(listings: Listings) -> list[report.Block]:
    """The reasons with their counts, and where the list is."""
    if not listings.rejected:
        return [report.Text("None.")]
    path = listings.directory / REJECTED_FILE
    rejected = pd.read_csv(path)
    reasons = rejected.groupby(["column", "reason"], dropna=False).size()
    rows = [
        {"column": column, "reason": reason, "rows": int(count)}
        for (column, reason), count in reasons.sort_values(ascending=False)[:20].items()
    ]
    return [report.Table(rows), report.Text(f"The list: {path}")]
