"""Leaves of a tree by path: "params/conv/kernel".

Fields of dataclasses, keys of dictionaries and indices of tuples are joined by "/".
"""

from collections.abc import Mapping
from typing import Any

import jax


def path_name(path: Any) -> str:
    """Text of a path as JAX gives it, e.g. to `jax.tree_util.tree_map_with_path`."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def nest(flat: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries of the entries under a path.

    >>> nest({"params/conv/kernel": 1, "params/bias": 2, "opt/0": 3}, "params")
    {'conv': {'kernel': 1}, 'bias': 2}
    """
    start = f"{prefix}/" if prefix else ""
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        if not path.startswith(start):
            continue
        *folders, name = path.removeprefix(start).split("/")
        branch = nested
        for folder in folders:
            branch = branch.setdefault(folder, {})
        branch[name] = value
    return nested


def flatten(tree: Any) -> dict[str, Any]:
    """Leaves of a tree by path.

    Raises:
      ValueError: where two leaves have the same path.
    """
    pairs = jax.tree_util.tree_leaves_with_path(tree)
    flat = {path_name(path): leaf for path, leaf in pairs}
    if len(flat) < len(pairs):
        raise ValueError("two leaves of the state have the same path")
    return flat


def unflatten(like: Any, flat: Mapping[str, Any]) -> Any:
    """Inverse of `flatten` for a tree of the same structure as `like`."""
    leaves = [flat[path] for path in flatten(like)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)
