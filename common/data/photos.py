"""Which photos the rows of a table name, and whether they can be used."""

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import tqdm

from common.data import images
from common.data.image_files import ImageStore, clean_name
from common.tables import schema as schemas
from common.tables.cells import quoted

_CHUNK = 4096


@dataclasses.dataclass(frozen=True)
class Photo:
    """One file, looked at once.

    Attributes:
      digest: hash of its bytes; "" where it can't be read.
      reason: why it can't be used; "" where it can.
    """

    digest: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something wrong with the photos of a row.

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
    """

    names: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


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
    cells = _split_cells(frame, description)
    names = dict.fromkeys(name for row in cells for _, name in row)
    photos = _check_photos(store, list(names))
    return [_of_row(row, photos) for row in cells]


def names_in(frame: pd.DataFrame, description: schemas.Images | None) -> set[str]:
    """The names of photos in a table, as `clean_name` has them; unsafe ones left out.

    Args:
      frame: rows of text; columns that it lacks name none.
      description: None for a table without photos.
    """
    if description is None:
        return set()
    columns = tuple(name for name in description.columns if name in frame)
    cells = _split_cells(frame, dataclasses.replace(description, columns=columns))
    names = set()
    for name in {name for row in cells for _, name in row}:
        with contextlib.suppress(images.ImageError):
            names.add(clean_name(name))
    return names


def _split_cells(
    frame: pd.DataFrame, description: schemas.Images
) -> list[list[tuple[str, str]]]:
    """Returns for each row (column, name) of the photos it names."""
    rows: list[list[tuple[str, str]]] = [[] for _ in range(len(frame))]
    for column in description.columns:
        for row, cell in zip(rows, frame[column], strict=True):
            text = "" if pd.isna(cell) else str(cell)
            parts = (
                text.split(description.separator) if description.separator else [text]
            )
            row.extend((column, part.strip()) for part in parts if part.strip())
    return rows


def _check_photos(store: ImageStore, names: Sequence[str]) -> dict[str, Photo]:
    def check(name: str) -> Photo:
        try:
            data = store.read(name)
            # An eighth of the size is enough to find any damage.
            images.decode(data, shrink_to=(1, 1))
        except images.ImageError as error:
            return Photo("", str(error))
        return Photo(hashlib.blake2b(data, digest_size=16).hexdigest(), "")

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


def _of_row(row: Iterable[tuple[str, str]], photos: dict[str, Photo]) -> RowPhotos:
    good, problems = [], []
    for column, name in row:
        photo = photos[name]
        if photo.reason:
            problems.append(
                Problem(column, f"photo {quoted(name, 80)}: {photo.reason}")
            )
        else:
            good.append((name, photo.digest))
    names, digests = zip(*good, strict=True) if good else ((), ())
    return RowPhotos(names, digests, tuple(problems))
