"""Bad tables: rows, headers, encodings, Parquet files, rows given in Python."""

import csv
import io
import pathlib
import random
from collections.abc import Sequence

import numpy as np

from common.data import ingest
from common.data.configs import ListingsConfig
from common.data.listings import Listings
from common.tables import schema as schemas
from tests.integration.bad_input.bench import (
    REFUSED,
    REJECTED,
    WORKS,
    Bench,
    Ending,
)

COLUMNS = ("id", "kind", "carat", "tags", "sold", "price", "title", "split")
SCHEMA = schemas.Schema(
    attributes=(
        schemas.Attribute("kind", "categorical", ("kind",)),
        schemas.Attribute("carat", "continuous", ("carat",)),
        schemas.Attribute("tags", "set", ("tags",), separator="|"),
    ),
    target=schemas.Target("price", "USD"),
    group=schemas.Group(("title",)),
    time="sold",
    split="split",
    id="id",
)
SPLITS = ("train", "train", "validation", "test")


def plain_row(index: int) -> list[str]:
    """A good row, a different one for every index."""
    rng = random.Random(index)
    return [
        f"n{index}",
        rng.choice("abc"),
        f"{rng.uniform(0.1, 9):.2f}",
        "|".join(rng.sample("xyz", rng.randint(1, 3))),
        f"2019-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
        str(rng.randint(20, 900)),
        "ring " + "".join(rng.choices("abcdefgh", k=6)),
        SPLITS[index % 4],
    ]


def with_cell(index: int, column: str, text: str) -> list[str]:
    """A good row but for one cell."""
    row = plain_row(index)
    row[COLUMNS.index(column)] = text
    return row


def csv_line(fields: Sequence[str], delimiter: str = ",") -> str:
    """One record with its line end."""
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator="\n").writerow(fields)
    return file.getvalue()


def csv_text(rows: Sequence[Sequence[str]], delimiter: str = ",") -> str:
    """A table with its header."""
    return "".join(csv_line(row, delimiter) for row in (COLUMNS, *rows))


def plain_text(count: int = 8) -> str:
    """A good table."""
    return csv_text([plain_row(index) for index in range(count)])


def write_schema(bench: Bench, schema: schemas.Schema = SCHEMA) -> pathlib.Path:
    """Writes a schema beside the table of a case."""
    path = bench.folder / "schema.json"
    schemas.save(schema, path)
    return path


def load(bench: Bench, path: pathlib.Path, about: object = "", **options) -> Ending:
    """Prepares a table; the value is the listings."""
    if "schema" not in options:
        options["schema"] = str(write_schema(bench))
    config = {"max_rejected_fraction": 1.0, "cache": str(bench.folder / "cache")}
    config = ListingsConfig(path=str(path), **(config | options))
    return bench.call(lambda: ingest.load(config), about or path.name)


def rejected_lines(listings: Listings) -> list[int]:
    """Lines of rejected.csv, each of which must have a reason."""
    with open(listings.directory / "rejected.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == listings.rejected
    assert all(row["reason"] and row["file"] for row in rows)
    return [int(row["line"]) for row in rows]


def check_load(ending: Ending, rows: int, bad: Sequence[int] | None = None) -> str:
    """Checks that a table of `rows` rows came in whole, but for the lines `bad`."""
    if ending.outcome == REFUSED:
        return REFUSED
    listings = ending.value
    lines = rejected_lines(listings)
    assert len(listings.frame) + len(lines) == rows, (len(listings.frame), lines, rows)
    assert len(listings.source) == len(listings.frame)
    if bad is not None:
        assert lines == sorted(bad), f"rejected {lines}, bad are {sorted(bad)}"
    return REJECTED if lines else WORKS


def check_predicted(
    ending: Ending, ids: Sequence[str | None], bad: Sequence[int] | None = None
) -> str:
    """Checks that every row came back in order, those at places `bad` with a reason.

    Args:
      ending: with the table of predictions.
      ids: of the rows that were given; None where a row has none that can be read.
      bad: places of the rows that must have an error; None where it may be any.
    """
    if ending.outcome == REFUSED:
        return REFUSED
    table = ending.value
    assert len(table) == len(ids), f"{len(table)} of {len(ids)} rows came back"
    for found, wanted in zip(table["id"], ids, strict=True):
        assert wanted is None or found == wanted, f"{found} in the place of {wanted}"
    failed = table["error"] != ""
    if bad is not None:
        assert np.flatnonzero(failed).tolist() == sorted(bad), table["error"].tolist()
    numbers = table[["price_low", "price", "price_high", "probability_1"]]
    known = numbers[~failed].to_numpy(np.float64)
    assert np.isfinite(known[:, [1, 3]]).all()
    # Few validation rows promise no more than 0 to infinity.
    assert (np.diff(known[:, :3], axis=1) >= 0).all()
    assert numbers[failed].isna().all().all()
    assert table.loc[failed, "error"].map(lambda text: text.isprintable()).all()
    return REJECTED if failed.any() else WORKS
