"""Titles of the generated rings: many words that tell nothing, one that tells a lot.

One word of `catalogue.TELLING` stands at a random place among 8 to 14 different words
of `catalogue.FILLERS`. It is independent of all else about a ring, so neither photo nor
attributes tell what it tells.
"""

import dataclasses

import numpy as np

from common.data import generated
from ican.generated import catalogue

FEWEST, MOST = 8, 14  # words that tell nothing
_STREAM = 2  # of random numbers; 0 and 1 make the ring and its photo
_UNIFORMS = 3 + len(catalogue.FILLERS)


@dataclasses.dataclass(frozen=True)
class Titles:
    """The titles of N rings.

    Attributes:
      telling: index into TELLING [N].
      place: of the telling word among the words, from 0 [N].
      count: of the other words [N].
      fillers: indices into FILLERS [N, 14], of which the first `count` are there.
    """

    telling: np.ndarray
    place: np.ndarray
    count: np.ndarray
    fillers: np.ndarray

    def write(self) -> list[str]:
        """The titles as text."""
        titles = []
        for row, telling in enumerate(self.telling):
            words = [catalogue.FILLERS[i] for i in self.fillers[row, : self.count[row]]]
            words.insert(self.place[row], catalogue.TELLING.names[telling])
            titles.append(" ".join(words))
        return titles


def sample(seed: int, numbers: np.ndarray) -> Titles:
    """Draws the titles of the rings with these numbers [N].

    A title is a function of (seed, number) alone, from random numbers of its own.
    """
    draws = np.array(
        [
            generated.generator(seed, int(number), _STREAM).random(_UNIFORMS)
            for number in numbers
        ]
    ).reshape(-1, _UNIFORMS)
    telling, count, place = draws[:, :3].T
    edges = np.cumsum(catalogue.TELLING.shares)[:-1]
    count = FEWEST + (count * (MOST - FEWEST + 1)).astype(int)
    return Titles(
        np.searchsorted(edges, telling, side="right"),
        (place * (count + 1)).astype(int),
        count,
        np.argsort(draws[:, 3:], axis=1)[:, :MOST],
    )
