"""From a user's table and photos to prepared listings, and to rows to predict."""

import dataclasses
import hashlib
import json
import pathlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import tqdm

from common.data import image_files, images, photos, prepared, records
from common.data.configs import ListingsConfig, PhotosConfig
from common.data.listings import Listings, NewRows, NewRowSource
from common.data.prepared import load_prepared
from common.data.sources import Record
from common.errors import UserError
from common.parallel.processes import is_first_process
from common.tables import decimals, faults, inference, row_checks, splits
from common.tables import schema as schemas
from common.tables import table as tables
from common.tables.cells import quoted
from common.tables.faults import Rejection
from common.tables.parquet_files import find_parts
from common.tables.schema import Schema

__all__ = [
    "load",
    "load_prepared",
    "prepare_generated",
    "print_line",
    "read_rows",
    "say_unused_photos",
]

BadImage = Literal["skip", "blank", "raise"]


def print_line(text: str) -> None:
    """Prints a line of progress, once for all processes."""
    if is_first_process():
        print(text, file=sys.stderr, flush=True)


def load(
    config: ListingsConfig,
    say: Callable[[str], None] = print_line,
    *,
    texts: bool = False,
) -> Listings:
    """Prepares a table and its photos, once, and opens the result.

    Rows are read, checked, their photos decoded on trial, split, and written to
    `config.cache/<table>-<fingerprint>`; the fingerprint covers the table, the photos,
    the schema and every option that changes the outcome. A second call opens what the
    first one wrote. The order is that of the table.

    Args:
      config: what to read. Where `path` is a directory it is a prepared one, or holds
        the Parquet parts of a table.
      say: prints a line of progress.
      texts: whether the system reads attributes of kind text; without it they are left
        out, with a line.

    Raises:
      UserError: files that are missing or can't be read, an unreadable photo under
        policy "raise", more than `max_rejected_fraction` unusable rows (rejected.csv
        stays on disk), no usable row, a split without rows.
    """
    if not config.path:
        raise UserError("no table given: set path to a .csv, .csv.gz or .parquet file")
    path = pathlib.Path(config.path)
    if path.is_dir() and not _is_table(path):
        listings = load_prepared(path)
        schema = (
            listings.schema if texts else _without_texts(listings.schema, path, say)
        )
        return dataclasses.replace(listings, schema=schema)
    table, given = _read_table(config, say, texts)
    schema = row_checks.settle(table, given)
    fingerprint = _fingerprint(config, table, decimals.settle_doubtful(table, given))
    stem = path.name.split(".")[0] or "table"
    directory = pathlib.Path(config.cache) / f"{stem}-{fingerprint[:16]}"

    def fill(partial: pathlib.Path) -> None:
        say(f"preparing {path} ({len(table.frame) + len(table.rejected)} rows) ...")
        _prepare(partial, directory, config, table, schema, fingerprint)

    made = prepared.find_or_make(directory, fill)
    listings = dataclasses.replace(load_prepared(directory), schema=schema)
    # A looser limit may have let it be prepared than is set now.
    file = directory / prepared.REJECTED_FILE
    if listings.rejected:
        limit, accepted = config.max_rejected_fraction, len(listings.frame)
        faults.check_rejected(faults.read_rejected(file), accepted, limit, file)
    say(("prepared in " if made else "already prepared: ") + describe(listings))
    return listings


def describe(listings: Listings) -> str:
    """Says in one line where listings lie and how many rows they have."""
    counts = listings.frame["split"].value_counts()
    words = [f"{counts.get(split, 0)} {split}" for split in splits.SPLITS]
    words.append(f"{listings.rejected} rejected")
    if listings.dropped_photos:
        words.append(f"{listings.dropped_photos} unreadable photos left out")
    if listings.renamed_photos:
        words.append(_count_renamed(listings.renamed_photos))
    if listings.schema.images and listings.rows_without_photo:
        words.append(f"{listings.rows_without_photo} rows without a photo")
    return f"{listings.directory}: {', '.join(words)}"


def _count_renamed(count: int) -> str:
    return f"{count} photos taken under a name of another case, ending or Unicode form"


def say_unused_photos(
    frame: pd.DataFrame, schema: Schema, config: PhotosConfig, *, trained: bool = False
) -> None:
    """Prints what stays unseen where rows have more photos than a network takes.

    Args:
      frame: rows, with their columns of photos.
      schema: of these.
      config: of the run.
      trained: whether the network stands already, so that a flag comes too late.
    """
    unused, remedy = photos.describe_unused(frame, schema.images, config.count)
    if trained:
        remedy = f"the model was trained with --photos.count={config.count}"
    if unused:
        print_line(f"{unused}; {remedy}")


def _is_table(folder: pathlib.Path) -> bool:
    """Whether a folder holds the Parquet parts of a table, and no prepared listings."""
    return not (folder / prepared.FACTS_FILE).exists() and bool(find_parts(folder))


def _without_texts(schema: Schema, path: Any, say: Callable[[str], None]) -> Schema:
    schema, unread = schemas.leave_out_texts(schema)
    for column in unread:
        say(f"{path}: column {quoted(column)} is {schemas.NOT_READ}")
    return schema


def _read_table(
    config: ListingsConfig, say: Callable[[str], None], texts: bool
) -> tuple[tables.Table, Schema]:
    table = tables.read_table(config.path)
    if config.where:
        rows = len(table.frame)
        table = tables.choose_rows(table, config.where)
        say(f"{config.path}: {len(table.frame)} of {rows} rows with {config.where}")
    if config.schema:
        schema = schemas.load(config.schema)
    else:
        schema = inference.infer(table, texts=texts)
    if not texts:
        schema = _without_texts(schema, config.path, say)
    _check_images(schema, config.images)
    taken = schema.columns()
    if "split" in taken and schema.split != "split":
        raise UserError(
            f"{config.path}: a column named 'split' must hold train, validation or"
            ' test (set "split" in the schema); rename it'
        )
    for name in ("line", "error"):  # what `read_rows` adds
        if name in schema.input_columns():
            raise UserError(
                f"{config.path}: predictions have a column {name!r} of their own;"
                " rename this one"
            )
    return table, schema


def _check_images(schema: Schema, path: str) -> None:
    if schema.images and not path:
        columns = ", ".join(schema.images.columns)
        raise UserError(
            f"the schema names photos (column {columns}) but no image folder or archive"
            " is given; give one, or set images to null in the schema"
        )
    if path and not schema.images:
        raise UserError(
            f"{path}: photos are given, but the schema names no column for them; set"
            " images.columns in the schema"
        )


def _fingerprint(config: ListingsConfig, table: tables.Table, schema: Schema) -> str:
    """Hashes everything the outcome depends on."""
    contents = tables.hash_of(pathlib.Path(config.path))
    store = None
    if config.images:
        names = photos.names_in(table.frame, schema.images)
        store = image_files.fingerprint(config.images, names)
    options: list[Any] = [
        prepared.FORMAT,
        config.split_fractions,
        config.split_seed,
        config.split_by_time,
        config.where,
        config.bad_image,
        images.MAX_PIXELS,
    ]
    # Where there are none, the hash is that of versions that knew of none.
    if exact := splits.exact_columns(table.frame, schema):
        options.append(exact)
    return _hash([contents, store, schemas.dumps(schema), options])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _prepare(
    partial: pathlib.Path,
    directory: pathlib.Path,
    config: ListingsConfig,
    table: tables.Table,
    schema: Schema,
    fingerprint: str,
) -> None:
    """Fills the directory `partial`, which will become `directory`."""
    frame, unfit = row_checks.check_rows(table, schema)
    rejected = [*table.rejected, *unfit]
    store = None
    if config.images:
        store = image_files.open_images(config.images, scratch=str(partial.parent))
    try:
        row_photos = photos.find_photos(frame, schema.images, store)
        lines = table.line[frame.index]
        found = photos.sort_out(config, schema.images, lines, row_photos)
        keep = found.keep
        rejected = faults.in_order([*rejected, *found.rejected])
        file = directory.with_name(f"{directory.name}.{prepared.REJECTED_FILE}")
        limit, accepted = config.max_rejected_fraction, int(keep.sum())
        try:
            faults.check_rejected(rejected, accepted, limit, file)
        except UserError:
            faults.write_rejected(file, rejected)
            raise
        frame = frame[keep].reset_index(drop=True)
        row_photos = [row for row, kept in zip(row_photos, keep, strict=True) if kept]
        digests = [row.digests for row in row_photos] if store else None
        frame["split"] = _assign_splits(config, frame, schema, digests)
        if "line" not in frame:  # the id may be called so
            frame["line"] = lines[keep]
        source = NewRowSource(store, [row.names for row in row_photos])
        rows = _with_bar(zip(frame["split"], _records(source), strict=True), len(frame))
        records.write_records(partial, rows)
    finally:
        if store is not None:
            store.close()
    faults.write_rejected(partial / prepared.REJECTED_FILE, rejected)
    faults.write_rejected(partial / prepared.DROPPED_FILE, found.dropped)
    if found.renamed:
        faults.write_rejected(partial / prepared.RENAMED_FILE, found.renamed)
    facts = {
        "fingerprint": fingerprint,
        "rejected": len(rejected),
        "dropped_photos": len(found.dropped),
        "renamed_photos": len(found.renamed),
        "rows_without_photo": sum(not row.names for row in row_photos),
        "photos": _hash([row.digests for row in row_photos]),
        "prepared_from": dataclasses.asdict(config),
    }
    prepared.write_tables(partial, schema, frame, facts)


def _assign_splits(
    config: ListingsConfig,
    frame: pd.DataFrame,
    schema: Schema,
    digests: Sequence[Sequence[str]] | None,
) -> np.ndarray:
    try:
        return splits.assign(
            frame,
            schema,
            digests,
            config.split_fractions,
            config.split_seed,
            by_time=config.split_by_time,
        )
    except UserError as error:
        raise UserError(f"{config.path}: {error}") from None


def _records(source: NewRowSource) -> Iterator[Record]:
    for row in range(len(source)):
        yield source[row]


def _with_bar(rows: Any, total: int | None) -> Any:
    return tqdm.tqdm(rows, total=total, desc="rows", unit="", disable=None, leave=False)


def prepare_generated(
    name: str,
    directory: str | pathlib.Path,
    schema: Schema,
    rows: Iterator[tuple[Mapping[str, Any], list[bytes]]],
    fingerprint: str,
    *,
    total: int | None = None,
    say: Callable[[str], None] = print_line,
) -> Listings:
    """Prepares a built-in data set in the same format, streaming.

    Args:
      name: of the data set; the folder is `directory/<name>-<fingerprint>`.
      directory: folder for prepared data.
      schema: of the rows, with a split column named "split".
      rows: (columns of one listing, its encoded photos); drawn from only where the
        data set is not there yet, one row at a time.
      fingerprint: hash of what the rows were generated from.
      total: number of rows, for the progress bar.
      say: prints a line of progress.

    Raises:
      UserError: where nothing can be written, or the directory there is damaged.
      ValueError: for rows that the schema does not accept.
    """
    if schema.split != "split":
        raise ValueError('generated rows need a column "split", named in the schema')
    folder = pathlib.Path(directory) / f"{name}-{fingerprint[:16]}"

    def fill(partial: pathlib.Path) -> None:
        say(f"generating {name} ...")
        cells: list[Mapping[str, Any]] = []
        bare = 0

        def stream() -> Iterator[tuple[str, Record]]:
            nonlocal bare
            for number, (columns, encoded) in enumerate(rows):
                cells.append(columns)
                bare += not encoded
                yield columns["split"], {"row": number, "images": encoded}

        records.write_records(partial, _with_bar(stream(), total))
        table = tables.from_rows(cells, name)
        frame, rejected = row_checks.check_rows(table, schema)
        if rejected:
            raise ValueError(f"generated rows don't fit the schema: {rejected[0]}")
        facts = {
            "fingerprint": fingerprint,
            "rejected": 0,
            "dropped_photos": 0,
            "rows_without_photo": bare,
            "prepared_from": name,
        }
        settled = row_checks.settle(table, schema)
        prepared.write_tables(partial, settled, frame, facts)

    made = prepared.find_or_make(folder, fill)
    listings = load_prepared(folder)
    if made:
        say(f"generated {describe(listings)}")
    return listings


def read_rows(
    table: str | pathlib.Path | tables.Table,
    image_path: str | pathlib.Path,
    schema: Schema,
    *,
    bad_image: BadImage = "skip",
    allow_missing_columns: bool = False,
) -> NewRows:
    """Reads rows to predict: all of them, in their order.

    A row that can't be used keeps its place and gets the reason in column "error".
    Attributes that rows given in Python all lack are missing values, with a warning.

    Args:
      table: path of a CSV or Parquet file, or a table made by `tables.from_rows`.
      image_path: folder or archive of photos; "" where the schema has none.
      schema: the one the model was trained with; its target may be missing here.
      bad_image: "skip": a row with an unreadable photo, or with none, is an error;
        "blank": it goes on with the photos that are left; "raise": UserError.
      allow_missing_columns: whether a file may lack attributes.

    Returns:
      Rows and photos; close the source at the end.

    Raises:
      UserError: missing or unreadable files; an unreadable photo under "raise".
    """
    in_python = isinstance(table, tables.Table)
    if not isinstance(table, tables.Table):
        table = tables.read_table(table)
    if in_python or allow_missing_columns:
        table, note = row_checks.add_missing_columns(table, schema)
        if note and in_python:
            warnings.warn(note, stacklevel=4)  # where `predict` was called
        elif note:
            print_line(f"note: {note}")
    _check_images(schema, str(image_path))
    typed, unfit = row_checks.check_rows(table, schema, need_target=False)
    store = image_files.open_images(image_path) if str(image_path) else None
    row_photos = photos.find_photos(typed, schema.images, store)
    policy = ListingsConfig(path=table.path, bad_image=bad_image)
    lines = table.line[typed.index]
    try:
        found = photos.sort_out(policy, schema.images, lines, row_photos)
    except UserError:
        if store is not None:
            store.close()
        raise
    if found.renamed:
        print_line(f"{table.path}: {_count_renamed(len(found.renamed))}")
    errors = [*table.rejected, *unfit, *found.rejected]
    frame = _with_errors(table, typed, errors)
    names: list[tuple[str, ...]] = [()] * len(frame)
    row_of_line = {line: row for row, line in enumerate(frame["line"])}
    for line, row in zip(lines, row_photos, strict=True):
        names[row_of_line[line]] = row.names
    return NewRows(frame, NewRowSource(store, names))


def _with_errors(
    table: tables.Table, typed: pd.DataFrame, errors: Sequence[Rejection]
) -> pd.DataFrame:
    """Puts all rows of a table in order, with their lines and errors.

    Columns of rows that could not be typed hold NaN where the column is numeric, and
    the text as found elsewhere.
    """
    frame = typed.reindex(range(len(table.frame)))
    left_out = frame.index.difference(typed.index)
    for column in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[column]):
            frame.loc[left_out, column] = table.frame.loc[left_out, column]
    frame["line"] = table.line
    unread = pd.DataFrame({"line": [error.line for error in table.rejected]})
    frame = pd.concat([frame, unread]).sort_values("line", kind="stable")
    reasons: dict[int, str] = {}
    for error in errors:
        text = f"{error.column}: {error.reason}" if error.column else error.reason
        reasons.setdefault(error.line, text)
    frame["error"] = [reasons.get(line, "") for line in frame["line"]]
    return frame.reset_index(drop=True)
