"""Batches of rows that lie in arrays: gathered a whole batch at a time.

For small rows (feature vectors, ids, numbers), where handling them one by one would
cost more than the step. As in `pipeline`, the rows of global batch k are a function of
the seed and k alone, and the split over processes comes last.
"""

import collections
import concurrent.futures
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from common.data.pipeline import Batch
from common.parallel.processes import this_process

T = TypeVar("T")

# (positions int64 [n]) -> {name: [n, ...]}; called from threads.
Gather = Callable[[np.ndarray], Batch]

_THREADS = 2
_AHEAD = 4  # batches gathered before they are asked for


def train_batches(
    count: int,
    gather: Gather,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    process_index: int | None = None,
    process_count: int | None = None,
    sort: bool = False,
) -> Iterator[Batch]:
    """Iterates for ever over shuffled rows.

    Every epoch covers every row once, in another order; batches run on over the end of
    an epoch.

    Args:
      count: rows, at least one.
      gather: reads rows.
      batch_size: rows in the global batch; a multiple of `process_count`.
      seed: of the order.
      start_step: number of the first batch; reaching it costs nothing.
      process_index: which part of each batch is taken; None for that of this process.
      process_count: number of parts; None for one a process.
      sort: put the rows of each global batch in rising order, before it is parted: a
        row then has the same place in it on any number of processes.

    Returns:
      Iterator of what `gather` gives for this process' rows; close it.
    """
    if not count:
        raise ValueError("no rows to train on")
    part = _part(batch_size, *this_process(process_index, process_count))

    def parts() -> Iterator[np.ndarray]:
        for rows in shuffled_rows(
            count, batch_size=batch_size, seed=seed, start_step=start_step
        ):
            yield (np.sort(rows) if sort else rows)[part]

    return read_ahead(parts(), gather)


def shuffled_rows(
    count: int, *, batch_size: int, seed: int, start_step: int = 0
) -> Iterator[np.ndarray]:
    """The rows of one global batch after another, for ever; see `train_batches`.

    Yields:
      int64 [batch_size].
    """
    order = functools.lru_cache(maxsize=3)(functools.partial(_order, seed, count))
    for step in itertools.count(start_step):
        places = step * batch_size + np.arange(batch_size)
        epochs, within = np.divmod(places, count)
        selected = np.empty(len(places), np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            selected[here] = order(int(epoch))[within[here]]
        yield selected


def eval_batches(
    count: int,
    gather: Gather,
    *,
    batch_size: int,
    process_index: int | None = None,
    process_count: int | None = None,
) -> Iterator[Batch]:
    """Iterates once over all rows, in order; the last batch is padded.

    Args:
      count: rows; none give no batch.
      gather: reads rows.
      batch_size: rows in the global batch; a multiple of `process_count`.
      process_index: which part of each batch is taken; None for that of this process.
      process_count: number of parts; None for one a process.

    Returns:
      Iterator of what `gather` gives, padded with copies of row 0, and "mask", float32
      [batch_size / process_count]: 1 for a row, 0 for padding; close it.
    """
    part = _part(batch_size, *this_process(process_index, process_count))

    def masked(places: np.ndarray) -> Batch:
        real = places < count
        batch = gather(np.where(real, places, 0))
        return {**batch, "mask": real.astype(np.float32)}

    places = (
        first + np.arange(part.start, part.stop)
        for first in range(0, count, batch_size)
    )
    return read_ahead(places, masked)


def _order(seed: int, count: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count)


def _part(batch_size: int, process_index: int, process_count: int) -> slice:
    if batch_size % process_count or not 0 <= process_index < process_count:
        raise ValueError(
            f"process {process_index} of {process_count} can't have a whole part of"
            f" {batch_size} rows"
        )
    size = batch_size // process_count
    return slice(process_index * size, (process_index + 1) * size)


def read_ahead(requests: Iterator[T], gather: Callable[[T], Batch]) -> Iterator[Batch]:
    """Gathers in threads, in order, a few batches ahead of the reader; close it."""
    pool = concurrent.futures.ThreadPoolExecutor(_THREADS)
    waiting: collections.deque[concurrent.futures.Future] = collections.deque()
    try:
        for part in requests:
            waiting.append(pool.submit(gather, part))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
