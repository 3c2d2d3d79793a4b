"""Batches of NumPy arrays from a random access source.

The rows of global batch k are a pure function of (seed, k), and the split over
processes comes last. So the position of a run is its step and nothing else: it may
go on with another number of processes, workers or threads and meet the same rows.
"""

import collections
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self

import grain
import numpy as np

from common.data.sources import Source
from common.parallel.processes import this_process

Batch = dict[str, np.ndarray]

# Most rows that a thread takes at a time.
_CHUNK = 16


def train_batches(
    source: Source,
    transform: Callable[[Any, np.random.Generator], Batch],
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    process_index: int | None = None,
    process_count: int | None = None,
    threads: int | None = None,
    workers: int = 0,
) -> "Batches":
    """Iterates for ever over shuffled, transformed rows.

    Every epoch covers every row once, in another order and with other random numbers;
    batches run on over the end of an epoch.

    Args:
      source: of records; not empty.
      transform: (record, rng) -> dict of arrays without batch axis. Depends on nothing
        else; runs in threads. rng is fixed by seed, epoch and position.
      batch_size: rows in the global batch; a multiple of `process_count`.
      seed: of order and transforms.
      start_step: number of the first batch; reaching it costs nothing.
      process_index: which part of each batch is taken; None for that of this process.
      process_count: number of parts; None for one a process.
      threads: that decode; None for one a core.
      workers: processes that decode instead, for transforms bound by Python; source
        and transform must then pickle.

    Returns:
      Iterator of dicts of arrays [batch_size / process_count, ...]; close it.
    """
    index, count = this_process(process_index, process_count)
    part = _part(batch_size, index, count)
    if not len(source):
        raise ValueError("no rows to train on")
    rows = grain.MapDataset.source(source).seed(seed).shuffle()
    rows = rows.random_map(_RandomMap(transform)).repeat()
    rows = _ProcessRows(rows, batch_size, index, count)
    if not workers:
        return Batches(_read_ahead(rows[start_step * part :], part, threads))
    # A worker takes whole batches: it would pack its own rows into other batches.
    batches = rows.batch(part, drop_remainder=True)[start_step:]
    each = max(1, (threads or _cores()) // workers)
    reading = grain.ReadOptions(num_threads=each, prefetch_buffer_size=each)
    spread = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=1)
    return Batches(
        batches.to_iter_dataset(reading).mp_prefetch(spread, die_with_parent)
    )


def eval_batches(
    source: Source,
    transform: Callable[[Any], Batch],
    *,
    batch_size: int,
    process_index: int | None = None,
    process_count: int | None = None,
    threads: int | None = None,
) -> "Batches":
    """Iterates once over all rows, in order.

    The last batch is padded with copies of the first row, so that all batches have
    one shape and all processes the same number of them.

    Args:
      source: of records; an empty one gives no batch.
      transform: record -> dict of arrays without batch axis; runs in threads.
      batch_size: rows in the global batch; a multiple of `process_count`.
      process_index: which part of each batch is taken; None for that of this process.
      process_count: number of parts; None for one a process.
      threads: that decode; None for one a core.

    Returns:
      Iterator of dicts of arrays [batch_size / process_count, ...] with one more entry
      "mask", float32 [batch_size / process_count]: 1 for a row, 0 for padding.
    """
    index, count = this_process(process_index, process_count)
    part = _part(batch_size, index, count)
    rows = grain.MapDataset.source(_Padded(source, batch_size))
    rows = rows.map(_MaskedMap(transform))
    rows = _ProcessRows(rows, batch_size, index, count)
    return Batches(_read_ahead(rows, part, threads))


def device_prefetch(
    batches: Iterable[Batch], put: Callable[[Batch], Any], size: int = 2
) -> Iterator[Any]:
    """Puts batches on the devices ahead of their use.

    Args:
      batches: on the host; closed at the end where they have `close`.
      put: starts a transfer and returns at once, as `jax.device_put` does.
      size: batches on the devices beside the one in use.

    Yields:
      What `put` returned, in order.
    """
    try:
        waiting: collections.deque[Any] = collections.deque()
        for batch in batches:
            waiting.append(put(batch))
            if len(waiting) > size:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()


class Batches(Iterator[Batch]):
    """An iterator over batches that lets go of its threads when it is closed."""

    def __init__(self, dataset: grain.IterDataset):
        self._iterator = iter(dataset)

    def __next__(self) -> Batch:
        return next(self._iterator)

    def close(self) -> None:
        """Stops threads and workers; may be called again."""
        self._iterator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()


class _ProcessRows(grain.MapDataset):
    """The rows of every global batch that belong to one process."""

    def __init__(self, parent: grain.MapDataset, batch: int, index: int, count: int):
        super().__init__(parent)
        self._batch, self._index, self._count = batch, index, count

    def __len__(self) -> int:
        return len(self._parent) // self._count

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.slice(index)
        part = self._batch // self._count
        step, row = divmod(index, part)
        return self._parent[step * self._batch + self._index * part + row]


class _RandomMap(grain.transforms.RandomMap):
    def __init__(self, transform: Callable[[Any, np.random.Generator], Batch]):
        self._transform = transform

    def random_map(self, element: Any, rng: np.random.Generator) -> Batch:
        return self._transform(element, rng)


class _MaskedMap(grain.transforms.Map):
    def __init__(self, transform: Callable[[Any], Batch]):
        self._transform = transform

    def map(self, element: tuple[Any, float]) -> Batch:
        record, mask = element
        return {**self._transform(record), "mask": np.asarray(mask, np.float32)}


class _Padded:
    """A source whose length is a multiple of the batch."""

    def __init__(self, source: Source, batch: int):
        self._source = source
        self._length = -(-len(source) // batch) * batch

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[Any, float]:
        if index < len(self._source):
            return self._source[index], 1.0
        return self._source[0], 0.0


def die_with_parent(index: int, count: int) -> None:
    """Ends a worker process when its parent is gone, however that went.

    The signals of a terminal reach workers too; the parent decides what they mean.
    """
    del index, count
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _part(batch_size: int, process_index: int, process_count: int) -> int:
    if batch_size % process_count or not 0 <= process_index < process_count:
        raise ValueError(
            f"process {process_index} of {process_count} can't have a whole part of"
            f" {batch_size} rows"
        )
    return batch_size // process_count


def _read_ahead(
    rows: grain.MapDataset, part: int, threads: int | None
) -> grain.IterDataset:
    """Batches rows that threads read.

    A thread takes a chunk of rows: single rows would cost more in passing on than a
    small photo in decoding, and whole batches too much memory on many cores.
    """
    chunk = max(size for size in range(1, _CHUNK + 1) if part % size == 0)
    count = threads or _cores()
    ahead = max(2 * count, part // chunk)
    options = grain.ReadOptions(num_threads=count, prefetch_buffer_size=ahead)
    chunks = rows.batch(chunk, drop_remainder=True).to_iter_dataset(options)
    return chunks.batch(part // chunk, drop_remainder=True, batch_fn=_join)


def _join(chunks: Sequence[Batch]) -> Batch:
    return {
        name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0))
