"""Prepared listings on disk.

    <directory>/
      listings-<split>.array_record-*   the records (see records.py)
      dataset_info.json, features.json  what TFDS wants to know of them
      listings.parquet                  the typed table, with its splits
      schema.json                       what its columns mean
      rejected.csv                      rows that could not be used, and why
      dropped_photos.csv                photos left out of rows that were kept
      renamed_photos.csv                photos taken under another name, if any
      prepared.json                     counts, policy, versions, sizes of all files

A directory is filled under another name and renamed when it is complete.
"""

import contextlib
import fcntl
import importlib.metadata
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from common.data import records
from common.data.listings import Listings
from common.errors import UserError
from common.tables import schema as schemas
from common.tables.schema import Schema
from common.tables.whole_numbers import with_digits_in

FORMAT = 1
FACTS_FILE = "prepared.json"
TABLE_FILE = "listings.parquet"
SCHEMA_FILE = "schema.json"
REJECTED_FILE = "rejected.csv"
DROPPED_FILE = "dropped_photos.csv"
RENAMED_FILE = "renamed_photos.csv"


def find_or_make(directory: pathlib.Path, fill: Callable[[pathlib.Path], None]) -> bool:
    """Makes a directory unless it is there.

    Of several processes one makes it, and the others wait for it. What a killed
    process left behind is cleared away by the next.

    Args:
      directory: that is wanted.
      fill: writes the contents into an empty folder.

    Returns:
      Whether `fill` was called.

    Raises:
      UserError: where nothing can be written.
    """
    if directory.is_dir():
        return False
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _lock(directory.with_name(directory.name + ".lock")):
            if directory.is_dir():
                return False
            partial = directory.with_name(directory.name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            try:
                fill(partial)
                partial.rename(directory)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"{directory}: prepared data can't be written ({error.strerror or error});"
            " choose another cache folder"
        ) from error
    return True


@contextlib.contextmanager
def _lock(path: pathlib.Path) -> Iterator[None]:
    """Holds a lock that ends with the process at the latest."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_tables(
    directory: pathlib.Path,
    schema: Schema,
    frame: pd.DataFrame,
    facts: dict[str, Any],
) -> None:
    """Writes all that stands beside the records; the records must be there.

    Args:
      directory: to write into.
      schema: what the columns mean.
      frame: with the column "split".
      facts: JSON; at least "fingerprint" and the counts "rejected",
        "dropped_photos" and "rows_without_photo".
    """
    frame.to_parquet(directory / TABLE_FILE, index=False)
    schemas.save(schema, directory / SCHEMA_FILE)
    files = {path.name: path.stat().st_size for path in sorted(directory.iterdir())}
    packages = ("array-record", "pandas", "pillow", "tensorflow-datasets")
    contents = {
        "format": FORMAT,
        **facts,
        "rows": frame["split"].value_counts().to_dict(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "files": files,
    }
    text = json.dumps(contents, indent=2, ensure_ascii=False)
    (directory / FACTS_FILE).write_text(text + "\n", encoding="utf-8")


def read_facts(directory: str | os.PathLike) -> dict[str, Any]:
    """Reads prepared.json and checks that all files are there in full.

    Raises:
      UserError: not a prepared directory, one of another format, or a damaged one.
    """
    directory = pathlib.Path(directory)
    try:
        facts = json.loads((directory / FACTS_FILE).read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise UserError(
                f"{directory}: prepared by another version (format"
                f" {facts['format']!r}, this one reads {FORMAT}); delete it and"
                " prepare it again"
            )
        for name, size in facts["files"].items():
            file = directory / name
            if not file.is_file():
                raise _damaged(directory, f"{name} is missing")
            if file.stat().st_size != size:
                raise _damaged(directory, f"{name} does not have {size} bytes")
    except FileNotFoundError as error:
        raise UserError(
            f"{directory}: no prepared listings there ({FACTS_FILE} is missing)"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(directory, f"{FACTS_FILE} can't be read") from error
    return facts


def load_prepared(directory: str | os.PathLike) -> Listings:
    """Opens a prepared directory.

    Raises:
      UserError: not a prepared directory, or a damaged one.
    """
    directory = pathlib.Path(directory)
    facts = read_facts(directory)
    schema = schemas.load(directory / SCHEMA_FILE)
    try:
        # An earlier version may have kept the names as it found them.
        stored = pd.read_parquet(directory / TABLE_FILE)
        frame = with_digits_in(stored, schema.name_columns())
        source = records.RecordSource(directory, frame["split"].to_numpy())
        return Listings(
            schema=schema,
            frame=frame,
            source=source,
            fingerprint=str(facts["fingerprint"]),
            rejected=int(facts["rejected"]),
            dropped_photos=int(facts["dropped_photos"]),
            rows_without_photo=int(facts["rows_without_photo"]),
            directory=directory,
            renamed_photos=int(facts.get("renamed_photos", 0)),
            photos=str(facts.get("photos", facts["fingerprint"])),
        )
    except Exception as error:  # pyarrow, tfds and array_record have their own each
        words = " ".join(str(error).split())[:200]
        raise _damaged(directory, words) from error


def _damaged(directory: pathlib.Path, reason: str) -> UserError:
    return UserError(f"{directory}: damaged ({reason}); delete it and prepare it again")
