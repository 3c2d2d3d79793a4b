"""What generated data sets of listings have in common: tables, draws, rows, photos.

A row is a function of the data set's seed and its own number alone, so that a split
keeps its rows when another one grows and any number of processes makes the same rows.
"""

import collections
import concurrent.futures
import dataclasses
import io
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
from PIL import Image

# The columns of a listing, and its encoded photos.
Row = tuple[dict[str, Any], list[bytes]]
Job = TypeVar("Job")

BLOCK = 64  # rows sampled at a time
# JPEG as in shops: a tenth of a PNG's size at 512 pixels and as fast to decode. No
# chroma subsampling, since colours tell something.
_JPEG_QUALITY = 92


@dataclasses.dataclass(frozen=True)
class Table:
    """A categorical variable: its names, how frequent they are, what they are worth.

    Attributes:
      names: of the K categories.
      shares: probabilities [K].
      effects: worth in standard deviations [K]; mean 0 and variance 1 under `shares`.
    """

    names: tuple[str, ...]
    shares: np.ndarray
    effects: np.ndarray


def standardise(worth: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(worth - mean) / standard deviation, both under `shares`; all [K]."""
    mean = np.sum(worth * shares)
    return (worth - mean) / np.sqrt(np.sum((worth - mean) ** 2 * shares))


def make_table(rows: dict[str, tuple[float, float]]) -> Table:
    """A table from {name: (relative frequency, relative worth)}."""
    frequencies, worth = np.array(list(rows.values())).T
    shares = frequencies / frequencies.sum()
    return Table(tuple(rows), shares, standardise(worth, shares))


def generator(seed: int, number: int, stream: int) -> np.random.Generator:
    """The random numbers of one row.

    Args:
      seed: of the data set.
      number: of the row.
      stream: what they are for; streams do not overlap.
    """
    return np.random.Generator(
        np.random.Philox(key=np.array([seed, number], np.uint64), counter=stream << 128)
    )


def stream_rows(
    make: Callable[[Job], Iterable[Row]], jobs: Iterable[Job], workers: int
) -> Iterator[Row]:
    """Yields the rows of all jobs, in order.

    Args:
      make: the rows of a job; must pickle, and be a function of the job alone.
      jobs: in order.
      workers: processes that make rows. More than one are started afresh ("spawn"), so
        the calling script needs its `__main__` guard.
    """
    if workers == 1:
        for job in jobs:
            yield from make(job)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context) as pool:
        # A few jobs ahead of the reader, no more: photos take memory.
        ahead: collections.deque[concurrent.futures.Future] = collections.deque()
        for job in jobs:
            ahead.append(pool.submit(_finish, make, job))
            if len(ahead) > 2 * workers:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()


def _finish(make: Callable[[Job], Iterable[Row]], job: Job) -> list[Row]:
    return list(make(job))


def blocks(numbers: np.ndarray) -> Iterator[np.ndarray]:
    """Cuts the numbers of a split into blocks of `BLOCK`."""
    for first in range(0, len(numbers), BLOCK):
        yield numbers[first : first + BLOCK]


def encode_jpeg(image: np.ndarray) -> bytes:
    """A photo uint8 [H, W, 3] as a file."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return data.getvalue()
