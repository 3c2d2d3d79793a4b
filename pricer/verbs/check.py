"""`--mode=check`: what to know of data, networks and disk before training."""

import pathlib
from typing import Any

import numpy as np

from common.cli import verbs
from common.data.ingest import describe
from common.layers.backbone_sizes import sizes_of
from common.reports import data_checks, figures, page, result_tables
from common.reports.page import Section
from common.tables.splits import SPLITS
from common.training.workdirs import Say
from pricer.config import TASKS, Config
from pricer.data import Examples
from pricer.inputs import labels, sales, trimming
from pricer.timing import (
    Plan,
    Timing,
    estimate_minutes,
    prepare,
    propose,
    time_run,
)

FILE = "check.html"
NAMED = 8  # left-out classes that are named
MIB = 2**20

Part = tuple[dict[str, Any], Section]  # what the summary says of it, and the rest


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
    show = (count_rows, describe_networks, describe_statistics, count_leaks)
    timing = time_run(plan)
    parts = [*(part(plan) for part in show), measure(plan, timing)]
    values = {name: value for part, _ in parts for name, value in part.items()}
    summary = [{"": name, "found": value} for name, value in values.items()]
    notes = [
        *data_checks.list_files(listings),
        *data_checks.find_large_groups(listings, plan.photos),
        *data_checks.warn_of_disk(size_stores(plan)[1]["bytes"], config.networks.cache),
        *propose(plan, timing, say).lines(),
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
        low, high = map(result_tables.format_price, ends)
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
    texts = [fitted.attribute.name for fitted in examples.encoders.attributes]
    alike = page.Text(
        (
            f"Comparables: the prices of the {count:,} most alike training photos."
            if count
            else "The heads get no comparables (--comparables.count)."
        )
        + f" Words: of {', '.join(texts) or 'no texts (--model.texts)'}."
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


def measure(plan: Plan, timing: Timing) -> Part:
    """Parameters, bytes, times and memory."""
    network, heads, extraction = timing.network, timing.heads, timing.extraction
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
    width = sizes_of(plan.config.networks.network).width
    sizes = {"of one network": width, f"of all {count}": count * width}
    table = [
        {"features": name, "rows": rows, "width": wide, "bytes": rows * wide * 2}
        for name, wide in sizes.items()
    ]
    folder = plan.config.networks.cache
    free = data_checks.free_bytes(folder)
    return [*table, {"features": f"free in {folder}", "bytes": free}]


run = verbs.check(write)
