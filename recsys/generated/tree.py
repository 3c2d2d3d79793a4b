"""The category tree of the generated closet: 13, 149 and 1,233 nodes.

It is a platform's tree, the same for every seed. "group 01" is the most frequent below
its parent, "kind 01" below its group, and so on.
"""

import dataclasses
import functools

import numpy as np

from recsys.generated.parameters import (
    LEAST_LEAVES,
    LEAVES,
    LEAVES_POWER,
    RANK_POWERS,
    SUBSETS,
    TOP_WEIGHTS,
    TOPS,
)

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Branches:
    """The part of the tree that a sub-dataset has.

    Attributes:
      paths: names of each leaf from the top, sorted; C leaves.
      nodes: number of the leaf's node in the whole tree, by level [C, 3].
      shares: of the items [C].
    """

    paths: tuple[Path, ...]
    nodes: np.ndarray
    shares: np.ndarray


@functools.lru_cache(maxsize=8)
def branches(subset: str) -> Branches:
    """The leaves below the 1st-level categories of a sub-dataset."""
    paths, nodes, shares = _whole()
    kept = [row for row, path in enumerate(paths) if path[0] in SUBSETS[subset]]
    own = shares[kept] / shares[kept].sum()
    return Branches(tuple(paths[row] for row in kept), nodes[kept], own)


@functools.lru_cache(maxsize=1)
def _whole() -> tuple[list[Path], np.ndarray, np.ndarray]:
    """Paths, node numbers [1233, 3] and shares [1233] of all leaves."""
    ranks = np.concatenate([np.arange(count) for count in TOPS.values()])
    weights = (1.0 + ranks) ** -LEAVES_POWER
    spare = LEAVES - LEAST_LEAVES * len(ranks)
    sizes = LEAST_LEAVES + _divide(spare, weights)  # leaves of each group
    paths: list[Path] = []
    nodes: list[tuple[int, int, int]] = []
    shares: list[float] = []
    group = 0
    for number, (top, count) in enumerate(TOPS.items()):
        of_groups = TOP_WEIGHTS[top] * _falling(count, RANK_POWERS[0])
        for rank in range(count):
            of_leaves = of_groups[rank] * _falling(int(sizes[group]), RANK_POWERS[1])
            for leaf, share in enumerate(of_leaves):
                paths.append((top, f"group {rank + 1:02}", f"kind {leaf + 1:02}"))
                nodes.append((number, group, len(nodes)))
                shares.append(share)
            group += 1
    return paths, np.array(nodes), np.array(shares) / np.sum(shares)


def _falling(count: int, power: float) -> np.ndarray:
    """Shares that fall with a power of the rank [count]."""
    weights = (1.0 + np.arange(count)) ** -power
    return weights / weights.sum()


def _divide(total: int, weights: np.ndarray) -> np.ndarray:
    """Whole numbers in proportion to the weights, with this total [K]."""
    wanted = total * weights / weights.sum()
    parts = np.floor(wanted).astype(int)
    largest = np.argsort(parts - wanted, kind="stable")
    parts[largest[: total - parts.sum()]] += 1
    return parts
