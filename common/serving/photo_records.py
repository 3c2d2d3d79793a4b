"""The photos that records name, cut as in training; the part of serving with Pillow.

`export` writes it beside serve.py as one file, photo_files.py, with all that it needs of
the tree. So a photo that is served goes through the very code that training used.
"""

import pathlib
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.data.crops import cut_photos
from common.data.images import ImageError
from common.tables.photo_cells import names


def read_photos(
    records: Sequence[Mapping[str, Any]],
    description: Mapping[str, Any],
    folder: str | pathlib.Path,
    first: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Reads and cuts the photos of some records.

    Args:
      records: B dicts; under each of the columns the name of a file, its bytes, or a
        list of these, of which the first M photos are used.
      description: "photos" of metadata.json: "columns", "separator" and "cut".
      folder: that the names are relative to.
      first: number of the first record, for messages.

    Returns:
      photos uint8 [B, M, H, W, 3], mask float32 [B, M], 1 for a photo.

    Raises:
      ImageError: a record without a photo, or one that can't be read; one line.
    """
    cut = types.SimpleNamespace(**description["cut"])
    one = types.SimpleNamespace(**{**description["cut"], "count": 1})
    photos = np.zeros((len(records), cut.count, cut.crop, cut.crop, 3), np.uint8)
    mask = np.zeros((len(records), cut.count), np.float32)
    for row, record in enumerate(records):
        where = f"record {first + row}: "
        try:
            named = [
                photo
                for column in description["columns"]
                for photo in _named(record.get(column), description["separator"])
            ]
        except ImageError as error:
            raise ImageError(f"{where}{error}") from None
        if not named:
            columns = ", ".join(map(repr, description["columns"]))
            raise ImageError(
                f"{where}no photo; name its file in {columns} or give pixels"
            )
        for place, photo in enumerate(named[: cut.count]):
            try:
                data = photo if isinstance(photo, bytes) else _read(folder, photo)
                photos[row, place] = cut_photos([data], one, None)[0][0]  # type: ignore[arg-type]
            except ImageError as error:
                raise ImageError(f"{where}photo {photo!r:.60}: {error}") from None
            mask[row, place] = 1
    return photos, mask


def _named(value: Any, separator: str) -> list[str | bytes]:
    """Names or bytes of the photos of one cell."""
    if isinstance(value, list | tuple):
        return [photo for entry in value for photo in _named(entry, "")]
    if isinstance(value, bytes):
        return [value]
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return []
    if not isinstance(value, str):
        raise ImageError(f"photo {value!r:.60}: give the name of a file, or its bytes")
    try:
        return [*names(value, separator)]
    except ValueError as error:
        raise ImageError(f"{value!r:.60} {error}") from None


def _read(folder: str | pathlib.Path, name: str) -> bytes:
    try:
        root = pathlib.Path(folder).resolve()
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise ImageError("path leaves the folder of the photos")
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{error.strerror}, in {folder}") from None
    except ValueError as error:  # a NUL in the name
        raise ImageError(str(error)) from None
