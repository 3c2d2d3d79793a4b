"""What generated data sets of listings have in common: tables, draws, rows, photos.

A row is a function of the data set's seed and its own number alone, so that a split
keeps its rows when another one grows and any number of processes makes the same rows.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import io
import json
import multiprocessing
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Self, TypeVar

import numpy as np
from PIL import Image

from common.config.configs import check_bounds, knob

SPLITS = ("train", "validation", "test")
# Numbers of a split's rows start here, so that a split keeps its rows when another one
# grows.
SPLIT_STEP = 1_000_000
SPLIT_START = {split: SPLIT_STEP * index for index, split in enumerate(SPLITS)}

# The columns of a listing, and its encoded photos.
Row = tuple[dict[str, Any], list[bytes]]
Job = TypeVar("Job")

BLOCK = 64  # rows sampled at a time
# JPEG as in shops: a tenth of a PNG's size at 512 pixels and as fast to decode. No
# chroma subsampling, since colours tell something.
_JPEG_QUALITY = 92


@dataclasses.dataclass(frozen=True)
class GeneratedConfig:
    """What every generated data set of listings is told; a system adds its effects.

    Their order is part of the fingerprint.
    """

    train_count: int = knob(2000, "rows to train on", low=1, high=SPLIT_STEP)
    validation_count: int = knob(500, "rows to validate on", low=1, high=SPLIT_STEP)
    test_count: int = knob(1000, "rows to test on", low=1, high=SPLIT_STEP)
    pixels: int = knob(96, "side of the square photo, pixels", low=16, high=2048)
    seed: int = knob(0, "names the set: same seed, same rows", low=0, high=2**31)

    def __post_init__(self):
        check_bounds(self)

    def numbers(self, split: str) -> np.ndarray:
        """Numbers of the rows in a split; they do not depend on the other splits."""
        return SPLIT_START[split] + np.arange(getattr(self, f"{split}_count"))

    @property
    def total(self) -> int:
        """Rows in all splits."""
        return sum(getattr(self, f"{split}_count") for split in SPLITS)


def fingerprint(
    version: int,
    parameters: Any,
    config: GeneratedConfig,
    without: Collection[str] = (),
) -> str:
    """Hash of all that decides the rows: generator, its parameters and the config.

    Args:
      version: of the generator.
      parameters: of the generator.
      config: of the data set.
      without: names of knobs that don't decide anything here.
    """
    knobs = dataclasses.asdict(config).items()
    decide = {name: value for name, value in knobs if name not in without}
    text = json.dumps([version, parameters, decide])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class ByRow:
    """A dataclass of arrays [N, ...] that gives one of its N rows."""

    def __getitem__(self, row: int) -> Self:
        """The values of one row, without the leading axis."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return type(self)(**{f.name: getattr(self, f.name)[row] for f in fields})


@dataclasses.dataclass(frozen=True)
class Categorical:
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


def make_categorical(rows: dict[str, tuple[float, float]]) -> Categorical:
    """A table from {name: (relative frequency, relative worth)}."""
    frequencies, worth = np.array(list(rows.values())).T
    shares = frequencies / frequencies.sum()
    return Categorical(tuple(rows), shares, standardise(worth, shares))


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


def rows(
    make: Callable[[tuple[Any, str, np.ndarray]], Iterable[Row]],
    config: GeneratedConfig,
    workers: int,
) -> Iterator[Row]:
    """Yields train, validation and test rows, one after another.

    Args:
      make: (config, split, numbers) -> the rows of a block of numbers; must pickle.
      config: of the data set.
      workers: processes that make rows; the rows are the same for any number.
    """
    jobs = (
        (config, split, block)
        for split in SPLITS
        for block in blocks(config.numbers(split))
    )
    return stream_rows(make, jobs, workers)


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
