"""The category tree of the items: which leaf an item is in, and what is above it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from common.errors import UserError
from recsys.corpus.config import Uneven

Path = tuple[str, ...]
NameItem = Callable[[int], str]


@dataclasses.dataclass(frozen=True, eq=False)
class CategoryTree:
    """m levels of categories, C leaves at the lowest.

    Level 0 is the top. A node is its path from the top, so equal names under different
    parents are different nodes. Within a level the nodes are numbered in sorted order
    of their paths; thus the leaves under any node have consecutive numbers.

    Source: Yu et al., "Personalized Item Recommendation for Second-hand Trading
    Platform", ACM MM 2020, section 3.1.1. As printed there C^k is the parent of
    C^(k-1); the rest of the paper needs it the other way round.

    Attributes:
      leaves: path of each leaf, m names each, sorted.
      ancestors: int32 [C, m]; the node of leaf c at level k. The last column is c.
      parents: parents[k] int32 [nodes of level k]: the parent of each at level k - 1;
        parents[0] is empty.
      repeated: bool [C, m]; where the path of the leaf ends above level k and its
        deepest node is repeated. A repeated level has an identity transition: its
        vector is that of the level above it. All leaves under a node agree.
    """

    leaves: tuple[Path, ...]
    ancestors: np.ndarray
    parents: tuple[np.ndarray, ...]
    repeated: np.ndarray

    @property
    def levels(self) -> int:
        """m."""
        return self.ancestors.shape[1]

    @property
    def leaf_count(self) -> int:
        """C."""
        return len(self.leaves)

    @property
    def level_sizes(self) -> tuple[int, ...]:
        """Number of nodes at each level, from the top."""
        return tuple(int(last) + 1 for last in self.ancestors[-1])

    @classmethod
    def from_paths(
        cls,
        paths: Iterable[Sequence[str]],
        *,
        uneven: Uneven = "refuse",
        name_item: NameItem = "item {} (counted from 0)".format,
    ) -> tuple[CategoryTree, np.ndarray]:
        """Builds the tree from the path of each item, and says which leaf it is in.

        Args:
          paths: of I items, each from the top category to the lowest.
          uneven: what becomes of paths that are shorter than the longest one: "refuse"
            is an error, "repeat" repeats the deepest node down to level m.
          name_item: what errors call an item, by its position among the I.

        Returns:
          (tree, leaf of each item int32 [I]).

        Raises:
          UserError: there are no items, a path or a name in it is empty, a path is too
            short, or a repeated node has the path of another item's node.
        """
        index: dict[Path, int] = {}
        codes = np.fromiter(
            (index.setdefault(path, len(index)) for path in _tuples(paths)), np.int32
        )
        distinct = list(index)  # in order of the first item that has them

        def first_item(code: int) -> str:
            return name_item(int(np.argmax(codes == code)))

        _check_names(distinct, first_item)
        depths = np.array([len(path) for path in distinct])
        levels = int(depths.max())
        if uneven != "repeat":
            _check_depths(distinct, first_item, depths, levels)
        full = [path + path[-1:] * (levels - len(path)) for path in distinct]
        order = sorted(range(len(full)), key=full.__getitem__)
        leaves = tuple(full[j] for j in order)
        ancestors = _number_nodes(leaves)
        repeated = np.arange(levels)[None, :] >= depths[order][:, None]  # [C, m]
        _check_repeats(
            [distinct[j] for j in order], order, first_item, ancestors, repeated
        )
        leaf = np.empty(len(order), np.int32)
        leaf[order] = np.arange(len(order), dtype=np.int32)
        return cls(leaves, ancestors, _find_parents(ancestors), repeated), leaf[codes]

    def leaf_span(self, level: int) -> tuple[np.ndarray, np.ndarray]:
        """First leaf, and one past the last, under each leaf's ancestor at a level.

        Args:
          level: 0 is the top; -1 stands for the root above it, which holds all leaves.

        Returns:
          (start, stop), both int64 [C].
        """
        if level < 0:
            nodes = np.zeros(self.leaf_count, np.int32)
        else:
            nodes = self.ancestors[:, level]
        start = np.searchsorted(nodes, nodes, side="left")
        return start, np.searchsorted(nodes, nodes, side="right")

    def sibling_span(self) -> tuple[np.ndarray, np.ndarray]:
        """First leaf, and one past the last, with each leaf's parent; itself included.

        With one level all leaves are siblings. Where a repeated node is the only one
        under its parent, which is the same category, the next parent above counts.

        Returns:
          (start, stop), both int64 [C].
        """
        start, stop = self.leaf_span(self.levels - 2)
        for level in reversed(range(self.levels - 1)):
            alone = (stop - start == 1) & self.repeated[:, level + 1]
            above = self.leaf_span(level - 1)
            start = np.where(alone, above[0], start)
            stop = np.where(alone, above[1], stop)
        return start, stop

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` turns back into an equal tree."""
        depths = self.levels - self.repeated.sum(axis=1)  # without repeats
        pairs = zip(self.leaves, depths, strict=True)
        return {"leaves": [list(leaf[:depth]) for leaf, depth in pairs]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CategoryTree:
        """Rebuilds a tree.

        Raises:
          UserError: the value was not written by `to_json`.
        """
        try:
            paths = value["leaves"]
            tree, leaf = cls.from_paths(paths, uneven="repeat")
            if not np.array_equal(leaf, np.arange(len(paths))):
                raise ValueError("leaves are not sorted or not distinct")
        except (KeyError, TypeError, ValueError, UserError) as error:
            raise UserError(
                "the category tree's file is damaged: copy it anew or train again"
            ) from error
        return tree


def _tuples(paths: Iterable[Sequence[str]]) -> Iterator[Path]:
    for path in paths:
        if type(path) is tuple:  # most often; 5 million of them must take seconds
            yield path
        elif isinstance(path, str):
            raise TypeError(f"path {path!r} is one text: give a sequence of names")
        else:
            yield tuple(path)


def _check_names(distinct: Sequence[Path], first_item: NameItem) -> None:
    if not distinct:
        raise UserError("the category tree has no items: give at least one")
    for code, path in enumerate(distinct):
        if not path:
            raise UserError(
                f"{first_item(code)}: its category path is empty: give it one level or"
                " more"
            )
        for level, name in enumerate(path, start=1):
            if not isinstance(name, str) or not name.strip():
                raise UserError(
                    f"{first_item(code)}: level {level} of its category path {path!r}"
                    " has no name: fill it in, or end the path above it"
                )


def _check_depths(
    distinct: Sequence[Path], first_item: NameItem, depths: np.ndarray, levels: int
) -> None:
    short = np.flatnonzero(depths < levels)
    if len(short):
        code = int(short[0])
        other = first_item(int(depths.argmax()))
        raise UserError(
            f"{first_item(code)}: its category path {distinct[code]!r} has"
            f" {depths[code]} of the {levels} levels that {other} has: fill it up, or"
            " set uneven to 'repeat'"
        )


def _check_repeats(
    paths: Sequence[Path],
    order: Sequence[int],
    first_item: NameItem,
    ancestors: np.ndarray,
    repeated: np.ndarray,
) -> None:
    """Refuses a node that is repeated for one path and a category of its own in another.

    Its transition would have to be the identity and a matrix at once.
    """
    for level in range(1, ancestors.shape[1]):
        nodes, is_repeat = ancestors[:, level], repeated[:, level]
        mixed = np.intersect1d(nodes[is_repeat], nodes[~is_repeat])
        if len(mixed):
            node = nodes == mixed[0]
            leaf = np.flatnonzero(node & is_repeat)[0]
            other = np.flatnonzero(node & ~is_repeat)[0]
            raise UserError(
                f"{first_item(order[leaf])}: its category path {paths[leaf]!r}, with"
                f" {paths[leaf][-1]!r} repeated, runs into {paths[other]!r} of"
                f" {first_item(order[other])}: rename one of them"
            )


def _number_nodes(leaves: Sequence[Path]) -> np.ndarray:
    """Node of each leaf at each level, int32 [C, m]; equal paths get equal numbers."""
    names = np.array(leaves, object)  # [C, m]
    differs = names[1:] != names[:-1]
    new = np.logical_or.accumulate(differs, axis=1)  # another path down to this level
    first = np.zeros((1, names.shape[1]), np.int32)
    return np.concatenate([first, np.cumsum(new, axis=0, dtype=np.int32)])


def _find_parents(ancestors: np.ndarray) -> tuple[np.ndarray, ...]:
    parents = [np.empty(0, np.int32)]
    for level in range(1, ancestors.shape[1]):
        _, leaf = np.unique(ancestors[:, level], return_index=True)
        parents.append(ancestors[leaf, level - 1])
    return tuple(parents)
