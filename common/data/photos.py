"""Which photos the rows of a table name, and whether they can be used."""

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import tqdm

from common.data import images
from common.data.configs import ListingsConfig
from common.data.image_files import ImageStore, clean_name, read_closest
from common.errors import UserError
from common.tables import photo_cells
from common.tables import schema as schemas
from common.tables.cells import quoted
from common.tables.faults import Rejection

_CHUNK = 4096


@dataclasses.dataclass(frozen=True)
class Photo:
    """One file, looked at once.

    Attributes:
      name: under which it lies; another than the table's in case, ending or Unicode
        form, perhaps.
      digest: hash of its bytes; "" where it can't be read.
      reason: why it can't be used; "" where it can.
    """

    name: str
    digest: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Remark:
    """Something to tell of the photos of a row.

    Attributes:
      column: that names the photo.
      reason: with the name of the photo.
    """

    column: str
    reason: str


@dataclasses.dataclass(frozen=True)
class RowPhotos:
    """The photos of one row.

    Attributes:
      names: of those that can be used.
      digests: hashes of their bytes.
      problems: one for each that can't.
      renamed: one for each that can, but lies under another name than the table's.
    """

    names: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    problems: tuple[Remark, ...] = ()
    renamed: tuple[Remark, ...] = ()


@dataclasses.dataclass(frozen=True)
class Sorted:
    """Rows after the policy for bad photos.

    Attributes:
      keep: bool [N], rows that are kept.
      rejected: one for each other row.
      dropped: photos that rows which are kept do without.
      renamed: photos of these that were taken from under another name.
    """

    keep: np.ndarray
    rejected: list[Rejection]
    dropped: list[Rejection]
    renamed: list[Rejection]


def find_photos(
    frame: pd.DataFrame,
    description: schemas.Images | None,
    store: ImageStore | None,
) -> list[RowPhotos]:
    """Reads and decodes every photo that a table names, each one once.

    Args:
      frame: rows with the columns of `description`.
      description: None for a table without photos.
      store: where they lie; None if and only if `description` is.

    Returns:
      One entry a row. A row that names no photo has neither names nor problems.
    """
    if description is None or store is None:
        return [RowPhotos() for _ in range(len(frame))]
    cells, faults = _split_cells(frame, description)
    names = dict.fromkeys(name for row in cells for _, name in row)
    photos = _check_photos(store, list(names))
    return [
        _of_row(row, photos, wrong) for row, wrong in zip(cells, faults, strict=True)
    ]


def names_in(frame: pd.DataFrame, description: schemas.Images | None) -> set[str]:
    """The names of photos in a table, as `clean_name` has them; unsafe ones left out.

    Args:
      frame: rows of text; columns that it lacks name none.
      description: None for a table without photos.
    """
    if description is None:
        return set()
    columns = tuple(name for name in description.columns if name in frame)
    cells, _ = _split_cells(frame, dataclasses.replace(description, columns=columns))
    names = set()
    for name in {name for row in cells for _, name in row}:
        with contextlib.suppress(images.ImageError):
            names.add(clean_name(name))
    return names


def _split_cells(
    frame: pd.DataFrame, description: schemas.Images
) -> tuple[list[list[tuple[str, str]]], list[list[Remark]]]:
    """Returns for each row (column, name) of its photos, and cells of no names."""
    rows: list[list[tuple[str, str]]] = [[] for _ in range(len(frame))]
    faults: list[list[Remark]] = [[] for _ in range(len(frame))]
    for column in description.columns:
        for row, wrong, cell in zip(rows, faults, frame[column], strict=True):
            text = "" if pd.isna(cell) else str(cell)
            try:
                names = photo_cells.names(text, description.separator)
            except ValueError as error:
                wrong.append(Remark(column, f"{quoted(text, 80)} {error}"))
            else:
                row.extend((column, name) for name in names)
    return rows, faults


def describe_unused(
    frame: pd.DataFrame, description: schemas.Images | None, count: int
) -> tuple[str, str]:
    """Says which photos a network does without that sees `count` of each row.

    Args:
      frame: rows with the columns of `description`.
      description: None for a table without photos.
      count: `photos.count`.

    Returns:
      (what is unused, what would use it); "" both where all are used.
    """
    if description is None:
        return "", ""
    named = np.array([len(row) for row in _split_cells(frame, description)[0]])
    most = min(int(named.max(initial=0)), 64)  # the upper bound of photos.count
    if most <= count:
        return "", ""
    if description.separator:
        unused = int(np.maximum(named - count, 0).sum())
        what = f"{unused:,} of {named.sum():,} photos unused"
    else:
        filled = int(frame[list(description.columns)].notna().any().sum())
        most = min(filled, 64)
        what = f"{filled - count} of {filled} photo columns unused"
    return what, f"--photos.count={most} uses them"


def _check_photos(store: ImageStore, names: Sequence[str]) -> dict[str, Photo]:
    def check(name: str) -> Photo:
        try:
            found, data = read_closest(store, name)
            # An eighth of the size is enough to find any damage.
            images.decode(data, shrink_to=(1, 1))
        except images.ImageError as error:
            return Photo(name, "", str(error))
        digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        return Photo(found, digest, "")

    photos: dict[str, Photo] = {}
    threads = len(os.sched_getaffinity(0))
    bar = tqdm.tqdm(total=len(names), desc="photos", unit="", disable=None, leave=False)
    with bar, ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(names), _CHUNK):
            chunk = names[start : start + _CHUNK]
            for name, photo in zip(chunk, pool.map(check, chunk), strict=True):
                photos[name] = photo
                bar.update()
    return photos


def _of_row(
    row: Iterable[tuple[str, str]], photos: dict[str, Photo], faults: Iterable[Remark]
) -> RowPhotos:
    good, problems, renamed = [], [*faults], []
    for column, name in row:
        photo = photos[name]
        if photo.reason:
            problems.append(Remark(column, f"photo {quoted(name, 80)}: {photo.reason}"))
            continue
        good.append((photo.name, photo.digest))
        if photo.name != name:
            lies = f"photo {quoted(name, 80)}: taken from {quoted(photo.name, 80)}"
            renamed.append(Remark(column, lies))
    names, digests = zip(*good, strict=True) if good else ((), ())
    return RowPhotos(names, digests, tuple(problems), tuple(renamed))


def sort_out(
    config: ListingsConfig,
    description: schemas.Images | None,
    lines: np.ndarray,
    row_photos: Sequence[RowPhotos],
) -> Sorted:
    """Applies the policy for bad photos.

    Args:
      config: with the path of the table, and the policy.
      description: None for a table without photos.
      lines: int [N] of the rows.
      row_photos: of each.

    Raises:
      UserError: a bad photo under the policy "raise".
    """
    keep = np.ones(len(row_photos), bool)
    rejected: list[Rejection] = []
    dropped: list[Rejection] = []
    renamed: list[Rejection] = []
    for index, row in enumerate(row_photos):
        line = int(lines[index])
        problems = _at(row.problems, config.path, line)
        if problems and config.bad_image == "raise":
            first = problems[0]
            raise UserError(
                f"{first.file}, line {line}, column {first.column}: {first.reason};"
                " mend it, or set bad_image to skip or blank"
            )
        if config.bad_image == "blank":
            dropped.extend(problems)
        elif not problems and not row.names and description:
            column = description.columns[0]
            problems = [Rejection(config.path, line, column, "no photo named")]
        if problems and config.bad_image != "blank":
            keep[index] = False
            rejected.append(problems[0])
        else:
            renamed.extend(_at(row.renamed, config.path, line))
    return Sorted(keep, rejected, dropped, renamed)


def _at(remarks: Iterable[Remark], path: str, line: int) -> list[Rejection]:
    return [Rejection(path, line, remark.column, remark.reason) for remark in remarks]
