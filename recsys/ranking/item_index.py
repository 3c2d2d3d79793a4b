"""All items in the order in which `recsys.ranking.top_k` searches them: by leaf, in blocks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

MAX_TILE = 128

# Items of a block: the scores of 128 users, 2 MiB, stay in a processor's cache.
BLOCK = 4096


class NotFiniteError(ValueError):
    """Vectors that no finite scores can be made of."""


class IndexArrays(NamedTuple):
    """Items in N blocks of n places, each block in T tiles.

    Place j of tile t stands in column j T + t: tiles lie side by side, so that a
    processor finds the highest scores of many of them at once.

    Attributes:
      columns: [N, w, n]. Places left over in a tile repeat its first item.
      numbers: int32 [N, n] of the items, -1 for places left over.
      leaves: int32 [N, T] of the tiles, C for those left over.
      leaf_vectors: [C, E - w].
      centers: mu_c [C, w].
      radii: r_c [C], rounded up.
    """

    columns: jax.Array
    numbers: jax.Array
    leaves: jax.Array
    leaf_vectors: jax.Array
    centers: jax.Array
    radii: jax.Array


@dataclasses.dataclass(frozen=True, eq=False)
class ItemIndex:
    """All items, ready to be searched; see `build`.

    Attributes:
      arrays: on the devices, the blocks spread over them.
      positions: int32 [I], where each item stands in the order of blocks and tiles.
      longest: no item's vector is longer.
      mesh: the devices, along one axis.
    """

    arrays: IndexArrays
    positions: np.ndarray
    longest: float
    mesh: Mesh

    @classmethod
    def build(
        cls,
        columns: np.ndarray | Iterable[np.ndarray],
        leaf_of_item: np.ndarray,
        leaf_vectors: np.ndarray,
        *,
        mesh: Mesh | None = None,
        tile: int | None = None,
        block: int = BLOCK,
    ) -> ItemIndex:
        """Sorts the items by leaf and brings them onto the devices.

        Args:
          columns: [I, w], the first `item_width` of the items' vectors; or parts of it
            [., w] in order, so that it need not stand in memory as a whole.
          leaf_of_item: int [I], 0 to C - 1.
          leaf_vectors: [C, E - w], the other columns.
          mesh: devices that share the items, along one axis; None for one device.
          tile: items of a tile; None for a power of two, small enough beside the mean
            leaf that few places are left over.
          block: items of a block at most, a multiple of `tile`.

        Raises:
          ValueError: sizes do not fit.
          NotFiniteError: vectors are not finite.
        """
        leaf_of_item = np.asarray(leaf_of_item)
        leaf_vectors = np.asarray(leaf_vectors, np.float32)
        items, count = len(leaf_of_item), len(leaf_vectors)
        if not items or leaf_of_item.min() < 0 or leaf_of_item.max() >= count:
            raise ValueError(f"leaves of items must be 0 to {count - 1}, one at least")
        if not np.isfinite(leaf_vectors).all():
            raise NotFiniteError("vectors of leaves are not finite")
        tile = tile or _tile_size(items, count)
        if tile < 1 or block < tile or block % tile:
            raise ValueError(f"a block of {block} can't be cut into tiles of {tile}")
        mesh = mesh or Mesh(
            np.array(jax.local_devices()[:1]), ("items",), axis_types=(AxisType.Auto,)
        )
        positions, leaves = _assign_positions(leaf_of_item, count, tile)
        tiles = _cut_blocks(leaves, count, block // tile, mesh.size)
        parts = [columns] if isinstance(columns, np.ndarray) else columns
        rows = _fill_rows(parts, positions, tiles.size * tile)
        numbers = np.full(tiles.size * tile, -1, np.int32)
        numbers[positions] = np.arange(items, dtype=np.int32)
        centers, radii = _measure(rows, numbers, tiles, count)
        longest = np.hypot(_lengths(centers) + radii, _lengths(leaf_vectors)).max()
        by_device = NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))
        everywhere = NamedSharding(mesh, PartitionSpec())
        arrays = IndexArrays(
            _put(_turn_blocks(rows, tiles), by_device),
            _put(_turn_blocks(numbers[:, None], tiles)[:, 0], by_device),
            _put(tiles, by_device),
            *(_put(x, everywhere) for x in (leaf_vectors, centers, radii)),
        )
        return cls(arrays, positions, float(longest), mesh)


def _tile_size(items: int, leaves: int) -> int:
    """The power of two below twice the root of a leaf's mean, within bounds.

    Half a tile of each leaf is left over, less than one place for the root of its mean.
    """
    root = math.isqrt(4 * items // leaves)
    return min(1 << max(root.bit_length() - 1, 0), MAX_TILE)


def _assign_positions(leaf_of_item, leaf_count, tile):
    """Place int32 [I] of each item among whole tiles, leaf int32 of each tile."""
    counts = np.bincount(leaf_of_item, minlength=leaf_count)
    tiles = -(-counts // tile)
    # How far the items of a leaf are moved by what is left over in those before it.
    moved = (np.cumsum(tiles) - tiles) * tile - (np.cumsum(counts) - counts)
    order = np.argsort(leaf_of_item, kind="stable")
    positions = np.empty(len(order), np.int32)
    positions[order] = np.arange(len(order)) + np.repeat(moved, counts)
    return positions, np.repeat(np.arange(leaf_count, dtype=np.int32), tiles)


def _cut_blocks(leaves, none, width, devices):
    """Leaves of the tiles in blocks, int32 [N, T], filled up with `none`.

    Blocks are the same for any number of devices, so that scores are rounded alike. A
    small catalogue is one block, filled up to a power of two.
    """
    width = min(width, 1 << (len(leaves) - 1).bit_length())
    blocks = -(-len(leaves) // (width * devices)) * devices
    left_over = blocks * width - len(leaves)
    return np.pad(leaves, (0, left_over), constant_values=none).reshape(-1, width)


def _fill_rows(parts, positions, count):
    """Items' columns in the order of places, [count, w], zeros where left over."""
    rows, start = None, 0
    for part in parts:
        if rows is None:
            rows = _allocate(count, part.shape[1])
        if not np.isfinite(part).all():
            raise NotFiniteError(
                f"vectors of items from number {start} on are not finite"
            )
        stop = start + len(part)
        if stop <= len(positions):
            rows[positions[start:stop]] = part
        start = stop
    if rows is None or start != len(positions):
        raise ValueError(
            f"{len(positions)} items have a leaf, but {start} have columns"
        )
    return rows


def _allocate(rows, columns):
    """Zeros that start where JAX takes over memory of a processor without a copy."""
    size, line = rows * columns, 64 // 4
    memory = np.zeros(size + line, np.float32)
    start = -(memory.ctypes.data // 4) % line
    return memory[start : start + size].reshape(rows, columns)


def _measure(rows, numbers, tiles, leaf_count):
    """mu_c [C, w], r_c [C]; fills what is left over in a tile with its first item.

    The bound must hold for scores as they are rounded. No item is longer than
    M = |mu_c| + r_c; so, in units of 2^-24 |u| M, inner products of w terms with an item
    and with the mean are wrong by w at most, and the sum of two terms by few. The radius
    gets 4 (w + 8) units more. S[u, c] is added to both sides and rounded alike.
    """
    width = rows.shape[1]
    by_block = rows.reshape(*tiles.shape, -1, width)  # [N, T, n / T, w]
    real = numbers.reshape(by_block.shape[:3]) >= 0
    sums = np.zeros((leaf_count + 1, width))
    counts = np.zeros(leaf_count + 1)
    for block, leaves, used in zip(by_block, tiles, real, strict=True):
        np.add.at(sums, leaves, block.sum(1, dtype=np.float64))
        np.add.at(counts, leaves, used.sum(1))
    centers = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
    squares = np.zeros(leaf_count + 1)
    for block, leaves, used in zip(by_block, tiles, real, strict=True):
        block[...] = np.where(used[..., None], block, block[:, :1])
        away = block - centers[leaves].astype(np.float64)[:, None]  # [T, n / T, w]
        np.maximum.at(squares, leaves, np.square(away).sum(2).max(1))
    radii = np.sqrt(squares)
    radii += 4 * (width + 8) * 2.0**-24 * (_lengths(centers) + radii)
    radii = np.nextafter(radii.astype(np.float32), np.float32(np.inf))
    return centers[:-1], radii[:-1]


def _lengths(vectors):
    return np.linalg.norm(vectors.astype(np.float64), axis=1)


def _turn_blocks(rows, tiles):
    """Rows [places, w] as [N, w, n] with tiles side by side, in the same memory."""
    blocks, width = tiles.shape
    by_block = rows.reshape(blocks, -1)
    for block in by_block:
        turned = block.reshape(width, -1, rows.shape[1]).transpose(2, 1, 0)
        block[:] = turned.ravel()  # a copy
    return by_block.reshape(blocks, rows.shape[1], -1)  # [N, w, n]


def _put(array, sharding):
    """An array on the devices of all processes, each of which has it on the host."""
    return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)
