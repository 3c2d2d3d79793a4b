"""Random access to records, as the batches are drawn from."""

from collections.abc import Sequence
from typing import Any, Protocol, TypedDict

import numpy as np


class Record(TypedDict):
    """What a source of listings gives for one row.

    Attributes:
      row: position of the row in the frame.
      images: encoded photos, in the order of the schema; may be empty.
    """

    row: int
    images: list[bytes]


class Source(Protocol):
    """Anything with a length and items; picklable where worker processes read it."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class Subset:
    """Some rows of a source, in a given order.

    Args:
      source: any random access source.
      indices: int [n] rows of it.
    """

    def __init__(self, source: Source, indices: np.ndarray | Sequence[int]):
        self.source = source
        self.indices = np.asarray(indices, np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.source[int(self.indices[index])]
