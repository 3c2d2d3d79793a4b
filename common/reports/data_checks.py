"""What the reports on data before training have in common.

Sizes and times are measured on the run that is to come, leaks and reasons are counted
on the prepared rows.
"""

import dataclasses
import hashlib
import math
import pathlib
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from common.data import pipeline
from common.data.configs import PhotosConfig
from common.data.images import decode
from common.data.listings import Listings
from common.data.pipeline import Batch
from common.data.prepared import DROPPED_FILE, REJECTED_FILE, RENAMED_FILE
from common.data.sources import Record, Source, Subset
from common.parallel.execution import Execution
from common.reports import page, result_tables
from common.tables import splits

VIEWED = 200  # photos whose shape is looked at
STEPS = 3  # timed after one that compiles
ENOUGH = 20.0  # seconds: slower steps are timed once
PIXELS = 2**20  # of the photos of a batch, where a step is in proportion to them

# What summaries say of the columns of `count_leaks`.
LEAKS = {
    "id is": "id in training",
    "text is": "text in training",
    "text is nearly": "text nearly in training",
    "photo is": "photo in training",
}


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a training step costs.

    Attributes:
      parameters: of all networks in the state, frozen ones too.
      seconds: of a step, its batch included.
      compiling: seconds that the first step took beyond that.
    """

    parameters: int
    seconds: float
    compiling: float


def measure_steps(
    execution: Execution,
    init: Callable[[Any], Any],
    step: Callable[[Any, Any, jax.Array], tuple[Any, Any]],
    start: Any,
    batches: Iterator[Any],
) -> Cost:
    """Counts parameters and times a few steps, after one that compiles.

    Args:
      execution: what to run on.
      init: start -> state with a field "params"; see `phase.Phase`.
      step: (state, batch, key) -> (state, metrics).
      start: host tree that `init` takes.
      batches: at least `STEPS` + 1 of this process' rows, on the host.
    """

    def keyed_step(state, batch, key_data):
        return step(state, batch, jax.random.wrap_key_data(key_data))

    compiled = execution.compile_step(keyed_step)
    # Compiling `init` takes as long as compiling the step; any numbers do.
    abstract = jax.eval_shape(init, start)
    state = execution.init(lambda: jax.tree.map(_stand_in, abstract))
    parameters = sum(leaf.size for leaf in jax.tree.leaves(abstract.params))
    key_data = np.zeros(2, np.uint32)
    times = [time.monotonic()]
    while len(times) < STEPS + 2 and (len(times) < 3 or times[-1] < times[1] + ENOUGH):
        state, measured = compiled(state, next(batches), key_data)
        jax.block_until_ready((state, measured))
        times.append(time.monotonic())
    seconds = (times[-1] - times[1]) / (len(times) - 2)
    compiling = max(times[1] - times[0] - seconds, 0.0)
    return Cost(parameters, seconds, compiling)


def _stand_in(leaf: jax.ShapeDtypeStruct) -> jax.Array:
    """Numbers of that shape; integers count what has not begun."""
    is_float = jnp.issubdtype(leaf.dtype, jnp.inexact)
    return jnp.full(leaf.shape, 0.01 if is_float else 0, leaf.dtype)


def small_batch(execution: Execution, batch_size: int, photo: int) -> int:
    """A batch that is quick to compute and can be spread over the devices.

    Args:
      execution: what to run on.
      batch_size: of the run.
      photo: pixels of one that a network sees.
    """
    size = math.lcm(max(PIXELS // photo // 8, 1) * 8, execution.data_size)
    return min(size, batch_size)


def measure_prediction(
    execution: Execution,
    predict: Callable[[Any, Any], Any],
    variables: Any,
    source: Source,
    load: Callable[[Record], Batch],
    batch_size: int,
) -> float:
    """Seconds to predict a row: a few batches, after one that compiles.

    Args:
      execution: what to run on.
      predict: (variables, batch) -> arrays [B, ...].
      variables: of the network, in device form.
      source: records of the rows; taken again from the first where there are few.
      load: record -> arrays of an item.
      batch_size: rows at a time.
    """
    compiled = execution.compile_predict(predict)
    rows = np.resize(np.arange(len(source)), (STEPS + 1) * batch_size)
    began = 0.0
    with pipeline.eval_batches(
        Subset(source, rows),
        load,
        batch_size=batch_size,
    ) as batches:
        for number, batch in enumerate(batches):
            compiled(variables, batch)  # waits for what it returns
            if number == 0:
                began = time.monotonic()
    return (time.monotonic() - began) / (STEPS * batch_size)


def peak_memory() -> float:
    """Of the first accelerator, or of the process where there is none; GiB."""
    stats = jax.local_devices()[0].memory_stats() or {}
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return stats.get("peak_bytes_in_use", kilobytes * 1024) / 2**30


def free_bytes(folder: str) -> int:
    """What is free on the disk of a folder, which need not be there yet."""
    path = pathlib.Path(folder).absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def warn_of_disk(needed: int, folder: str) -> list[str]:
    """One line where so many bytes of features do not fit into a folder, else none."""
    free = free_bytes(folder)
    if needed <= free:
        return []
    line = (
        f"the features need {needed / 2**20:,.0f} MiB, but {free / 2**20:,.0f} MiB are"
        f" free under {folder}; choose another folder"
    )
    return [line]


def hash_photos(listings: Listings) -> list[list[str]]:
    """Reads all photos; the hashes of each row's, none where it has none."""
    return [
        [hashlib.sha256(photo).hexdigest() for photo in listings.source[row]["images"]]
        for row in range(len(listings.frame))
    ]


def describe_view(listings: Listings, photos: PhotosConfig) -> str:
    """Share of a photo that a network sees, the median of some photos; "" for none."""
    shares = []
    inner = (photos.crop / photos.resize) ** 2
    for row in np.linspace(0, len(listings.frame) - 1, VIEWED).astype(int):
        for photo in listings.source[int(row)]["images"][:1]:
            height, width = decode(photo, shrink_to=(1, 1)).shape[:2]
            shape = min(height, width) / max(height, width)
            shares.append(inner * (shape if photos.fit == "crop" else 1.0))
    return f"{np.median(shares):.0%}" if shares else ""


def find_leaks(
    listings: Listings,
    hashes: Sequence[Sequence[str]] | None = None,
    *,
    of: str = "test",
) -> splits.Leakage:
    """Compares ids, texts and photos of the rows of a split with those of training.

    Args:
      listings: all rows.
      hashes: what `hash_photos` gave, where that has been called.
      of: the split.
    """
    hashes = hash_photos(listings) if hashes is None else hashes
    split = listings.frame["split"].to_numpy()
    return splits.leakage(listings.frame, listings.schema, split, hashes, of=of)


def count_leaks(
    listings: Listings, hashes: Sequence[Sequence[str]]
) -> list[dict[str, Any]]:
    """A row for validation and one for test: how many have a near-copy in training."""
    rows = []
    for split in splits.SPLITS[1:]:
        leak = find_leaks(listings, hashes, of=split)
        rows.append(
            {
                "split": split,
                "rows": leak.rows,
                "id in training": leak.id,
                "text in training": leak.text,
                "photo in training": leak.photo,
                "any of these": leak.either,
                "text nearly in training": leak.near,
            }
        )
    return rows


def find_large_groups(listings: Listings, hashes: Sequence[Sequence[str]]) -> list[str]:
    """A line for each group of near-copies that makes up a tenth of a split or more."""
    split = listings.frame["split"].to_numpy()
    return splits.describe_large_groups(listings.frame, listings.schema, split, hashes)


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
        written = map(result_tables.format_price, (middle, low, high))
        return "{} ({} to {})".format(*written)
    commonest = cells.mode().iloc[0]
    return f"{commonest} ({(cells == commonest).mean():.0%})"


def rejected_blocks(listings: Listings) -> list[page.Block]:
    """Why rows were rejected, with counts, and where the list is."""
    return count_reasons(listings.directory / REJECTED_FILE, listings.rejected, "rows")


def dropped_blocks(listings: Listings) -> list[page.Block]:
    """Why photos were left out of rows that were kept, and where the list is."""
    file = listings.directory / DROPPED_FILE
    return count_reasons(file, listings.dropped_photos, "photos")


def list_files(listings: Listings) -> list[str]:
    """A line for each list that was written while preparing, with its path."""
    return [
        f"{count:,} {what}: {listings.directory / file}"
        for count, what, file in (
            (listings.rejected, "rejected rows", REJECTED_FILE),
            (listings.dropped_photos, "dropped photos", DROPPED_FILE),
            (listings.renamed_photos, "photos under another name", RENAMED_FILE),
        )
        if count
    ]


def count_reasons(path: pathlib.Path, count: int, unit: str) -> list[page.Block]:
    """The reasons in a list of rejections with their counts, and where it is.

    Args:
      path: of the list, see `faults.write_rejected`.
      count: entries; for 0 the list need not be there.
      unit: what was rejected: "rows".
    """
    if not count:
        return [page.Text("None.")]
    reasons = pd.read_csv(path).groupby(["column", "reason"], dropna=False).size()
    commonest = reasons.sort_values(ascending=False)[:20]
    rows = [
        {"column": column, "reason": reason, unit: int(number)}
        for (column, reason), number in commonest.items()
    ]
    return [page.Table(rows), page.Text(f"The list: {path}")]
