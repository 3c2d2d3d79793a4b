"""Features of the items in a folder of shards.

<folder>/
  features-00000.npy ...   float16 or int8 [n, F], the first items in the first
  scales-00000.npy ...     float32 [n], beside int8 alone
  features.json            sizes, kind and a hash of each shard; written last
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

import numpy as np

from common.errors import UserError
from common.training import workdirs

Kind = Literal["float16", "int8"]

FACTS_FILE = "features.json"

_FORMAT = 1
_SHARD_BYTES = 2**28
_BLOCK_BYTES = 2**24  # read at a time where a whole array is gone through
_LARGEST_CODE = 127  # of int8; -128 is not used
_LARGEST = 1e38  # what 127 times a rounded scale keeps within float32
_SMALLEST_SCALE = np.finfo(np.float32).tiny


@dataclasses.dataclass(frozen=True, eq=False)
class Shard:
    """Rows of consecutive items.

    Attributes:
      values: [n, F]; float, or int8 codes.
      scales: float32 [n], that the codes of each row are multiplied by; None with
        float values.
    """

    values: np.ndarray
    scales: np.ndarray | None = None


def write_features(
    folder: str | os.PathLike,
    blocks: Iterable[np.ndarray],
    count: int,
    width: int,
    kind: Kind = "float16",
    shard_rows: int | None = None,
) -> None:
    """Writes features in shards that `StoredFeatures` reads.

    "float16" keeps values up to 65,504. "int8" keeps codes and a float32 scale for each
    row, value = scale * code; the scale is the row's largest magnitude / 127, and the
    error at most scale / 2.

    What an interrupted call leaves is no folder of features; the next one starts anew.

    Args:
      folder: made where it is missing.
      blocks: float [n, F] each, of all rows from the first to the last.
      count: I.
      width: F.
      kind: how values are kept.
      shard_rows: rows of a file; None for 256 MiB.

    Raises:
      UserError: the folder holds features already or can't be written, or a value is
        not finite or too large.
      ValueError: blocks of another shape or type, or not `count` rows in all.
    """
    folder = pathlib.Path(folder)
    if kind not in get_args(Kind):
        raise UserError(f"feature kind {kind!r}: choose one of float16, int8")
    if count < 1 or width < 1 or (shard_rows is not None and shard_rows < 1):
        raise ValueError(
            f"{count} rows of {width}, {shard_rows} in a shard: give 1 or more"
        )
    if (folder / FACTS_FILE).exists():
        raise UserError(
            f"{folder}: holds features already: choose another folder or delete this one"
        )
    step = shard_rows or max(1, _SHARD_BYTES // (np.dtype(kind).itemsize * width))
    facts: dict[str, Any] = {"format": _FORMAT, "count": count, "width": width}
    facts |= {"kind": kind, "shard_rows": step, "shards": []}
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    row = 0
    for block in blocks:
        _check_block(block, row, count, width)
        while len(block):
            number, start = divmod(row, step)
            if not start:
                shard = _empty_shard(facts, number)
            part = block[: step - start]
            _encode(part, shard, start, row, str(folder))
            row, block = row + len(part), block[len(part) :]
            if start + len(part) == len(shard.values):
                _save_shard(folder, number, shard)
                facts["shards"].append(_describe(shard))
    if row < count:
        raise ValueError(f"the blocks end at row {row} of {count}")
    with _writing(folder):
        workdirs.write_signed(folder / FACTS_FILE, facts)


def open_folder(folder: pathlib.Path) -> tuple[list[Shard], str]:
    """Maps all shards of a folder into memory.

    Returns:
      (shards in order, hash of all that is in them as it was when written).

    Raises:
      UserError: no such folder, an incomplete or a damaged one.
    """
    facts = _read_facts(folder)
    entries = facts["shards"]
    shards = [_open_shard(folder, facts, number) for number in range(len(entries))]
    contents = [facts["count"], facts["width"], facts["kind"], entries]
    text = json.dumps(contents, sort_keys=True)
    return shards, hashlib.sha256(text.encode()).hexdigest()


def open_array(path: pathlib.Path) -> np.ndarray:
    """Maps a `.npy` file into memory; nothing is ever unpickled.

    Raises:
      UserError: it can't be read, is no `.npy` file or ends too early.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise UserError(
            f"{path}: can't be read ({error.strerror or error}): check the path, or write"
            " it again"
        ) from error
    except (ValueError, TypeError, SyntaxError) as error:
        words = " ".join(str(error).split())[:120]
        raise UserError(
            f"{path}: no whole .npy file of numbers ({words}): write it again with"
            " np.save"
        ) from error


def hash_array(array: np.ndarray) -> str:
    """Hash of type, shape and values."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    for _, rows in blocks_of(array):
        digest.update(np.ascontiguousarray(rows).data)
    return digest.hexdigest()


def blocks_of(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(number of the first row, rows) of all rows [I, F] in order."""
    step = max(1, _BLOCK_BYTES // (array.shape[1] * array.dtype.itemsize))
    for first in range(0, len(array), step):
        yield first, array[first : first + step]


def narrow(rows: np.ndarray, kind: Any) -> np.ndarray:
    """Rows of another type; what does not fit becomes infinite, without a warning."""
    with np.errstate(over="ignore"):
        return rows.astype(kind, copy=False)


def check_finite(
    rows: np.ndarray, ids: np.ndarray, where: str, kind: str = "float32"
) -> None:
    """Refuses rows [n, ...] with a value that is not finite; ids [n] name them.

    Raises:
      UserError: with `where`, the row, and the kind of number that could not hold it.
    """
    finite = np.isfinite(rows)
    if not finite.all():
        row = ids[np.argwhere(~finite)[0][0]]
        raise UserError(
            f"{where}: row {row} of the features (counted from 0) holds a value that is"
            f" not finite or too large for {kind}: mend it where it was made"
        )


@contextlib.contextmanager
def _writing(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: can't be written: {error.strerror}") from error


def _read_facts(folder: pathlib.Path) -> dict[str, Any]:
    path = folder / FACTS_FILE
    try:
        facts = workdirs.read_signed(path)
        if facts["format"] != _FORMAT:
            raise ValueError(f"format {facts['format']!r}, not {_FORMAT}")
        sizes = [facts["count"], facts["width"], facts["shard_rows"]]
        if not all(type(size) is int and size > 0 for size in sizes):
            raise ValueError(f"sizes {sizes}")
        if facts["kind"] not in get_args(Kind):
            raise ValueError(f"kind {facts['kind']!r}")
        if len(facts["shards"]) != -(-facts["count"] // facts["shard_rows"]):
            raise ValueError(f"{len(facts['shards'])} shards")
        if None in facts["shards"]:  # as versions left them that could go on
            raise ValueError("not all shards are written")
    except FileNotFoundError:
        raise UserError(
            f"{folder}: no {FACTS_FILE} in it: give a .npy file or a folder that"
            " write_features filled"
        ) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        words = " ".join(str(error).split())
        raise UserError(
            f"{path}: damaged ({words}): delete the folder and write it again"
        ) from error
    return facts


def _length(facts: Mapping[str, Any], number: int) -> int:
    step = facts["shard_rows"]
    return int(min(step, facts["count"] - number * step))


def _files(folder: pathlib.Path, number: int) -> tuple[pathlib.Path, pathlib.Path]:
    return folder / f"features-{number:05d}.npy", folder / f"scales-{number:05d}.npy"


def _empty_shard(facts: Mapping[str, Any], number: int) -> Shard:
    rows = _length(facts, number)
    values = np.empty((rows, facts["width"]), facts["kind"])
    return Shard(
        values, np.empty(rows, np.float32) if facts["kind"] == "int8" else None
    )


def _encode(rows: np.ndarray, shard: Shard, start: int, first: int, where: str) -> None:
    """Puts float rows [n, F], of items from `first` on, into a shard from `start` on."""
    part, ids = slice(start, start + len(rows)), np.arange(first, first + len(rows))
    if shard.scales is None:
        values = narrow(rows, shard.values.dtype)
        check_finite(values, ids, where, "float16 (65504)")
        shard.values[part] = values
        return
    peak = np.abs(rows).max(axis=1).astype(np.float64)  # [n]
    check_finite(np.where(peak > _LARGEST, np.inf, peak), ids, where)
    scale = np.maximum(peak / _LARGEST_CODE, _SMALLEST_SCALE).astype(np.float32)
    shard.scales[part] = np.where(peak > 0, scale, 0)
    # In float64: a quotient that is rounded twice may be off by more than a half.
    shard.values[part] = np.rint(rows / scale.astype(np.float64)[:, None])


def _save_shard(folder: pathlib.Path, number: int, shard: Shard) -> None:
    arrays = zip(_files(folder, number), (shard.values, shard.scales), strict=True)
    for path, array in arrays:
        if array is not None:
            with _writing(path), open(path, "wb") as file:
                np.save(file, array, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())


def _open_shard(folder: pathlib.Path, facts: Mapping[str, Any], number: int) -> Shard:
    rows = _length(facts, number)
    expected: list[tuple[tuple[int, ...], np.dtype]]
    expected = [((rows, facts["width"]), np.dtype(facts["kind"]))]
    if facts["kind"] == "int8":
        expected.append(((rows,), np.dtype(np.float32)))
    arrays = []
    for path, (shape, kind) in zip(_files(folder, number), expected, strict=False):
        array = open_array(path)
        if array.shape != shape or array.dtype != kind:
            raise UserError(
                f"{path}: {array.dtype} {array.shape}, not {kind} {shape}: delete the"
                " folder and write it again"
            )
        arrays.append(array)
    return Shard(*arrays)


def _describe(shard: Shard) -> dict[str, Any]:
    digest = hashlib.sha256(hash_array(shard.values).encode())
    if shard.scales is not None:
        digest.update(np.ascontiguousarray(shard.scales).data)
    return {"rows": len(shard.values), "sha256": digest.hexdigest()}


def _check_block(block: np.ndarray, row: int, count: int, width: int) -> None:
    if block.ndim != 2 or block.shape[1] != width or block.dtype.kind != "f":
        raise ValueError(
            f"a block at row {row} is {block.dtype} {block.shape}, not float [n, {width}]"
        )
    if row + len(block) > count:
        raise ValueError(f"the blocks have more than {count} rows")
