"""What a checkpoint notes of the leaves of a state, and how it compares them.

Leaves come as flat dictionaries by path (`common.training.tree_paths.flatten`).
"""

import math
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from common.errors import UserError


def nonempty(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves that hold anything at all."""
    return {path: leaf for path, leaf in leaves.items() if math.prod(leaf.shape)}


def describe(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """{path: [shape, dtype]} for JSON."""
    return {path: [list(x.shape), str(x.dtype)] for path, x in leaves.items()}


def checksums(leaves: Mapping[str, Any]) -> dict[str, int]:
    """CRC-32 of the arrays that this process has all of; the format has none."""
    return {
        path: zlib.crc32(np.ascontiguousarray(leaf).view(np.uint8).data)
        for path, leaf in leaves.items()
        if not isinstance(leaf, jax.Array)
        or leaf.is_fully_addressable
        or leaf.is_fully_replicated
    }


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def without_keys(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces typed random keys by their numbers."""
    return {
        path: jax.random.key_data(leaf) if _is_key(leaf) else leaf
        for path, leaf in leaves.items()
    }


def with_keys(
    leaves: Mapping[str, Any], abstract_leaves: Mapping[str, Any]
) -> dict[str, Any]:
    """Inverse of `without_keys`."""
    kinds: dict[str, Any] = {}

    def note(keys):
        # The kind of a key is known to traced keys, not to their shapes.
        kinds.update({path: jax.random.key_impl(key) for path, key in keys.items()})

    jax.eval_shape(note, {path: x for path, x in abstract_leaves.items() if _is_key(x)})
    return {
        path: jax.random.wrap_key_data(leaf, impl=kinds[path])
        if path in kinds
        else leaf
        for path, leaf in leaves.items()
    }


def check_leaves(
    where: pathlib.Path, saved: Mapping[str, Any], abstract_leaves: Mapping[str, Any]
) -> None:
    """Compares names, shapes and dtypes; Orbax would cast a dtype in silence."""
    lines = []
    for path in sorted(saved.keys() | abstract_leaves.keys()):
        saved_leaf, here = saved.get(path), abstract_leaves.get(path)
        if saved_leaf is None or here is None:
            side = (
                "only the model has"
                if saved_leaf is None
                else "only the checkpoint has"
            )
            lines.append(f"{side} {path}")
        elif saved_leaf != here:
            lines.append(
                f"{path} is {saved_leaf[1]}{saved_leaf[0]} there and {here[1]}{here[0]} here"
            )
    if lines:
        more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
        raise UserError(
            f"{where} is of another model: {'; '.join(lines[:3])}{more}; use the "
            "settings it was trained with"
        )
