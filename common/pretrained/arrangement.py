"""Tensors of a state dict arranged as the variables of a network, and back."""

import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import DictKey, tree_flatten_with_path, tree_unflatten

from common.errors import UserError
from common.pretrained import torch_files

Variables = dict[str, Any]
Tensors = dict[str, np.ndarray]
Place = tuple[DictKey, ...]

# Leaves of a convolution with its batch normalisation -> torch's names of them.
SUFFIXES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def shapes_of(network: Any) -> Variables:
    """Shapes of all variables of an image network, without computing any."""
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    return jax.eval_shape(network.init, jax.random.key(0), image)


def from_tensors(
    network: Any,
    name_of: Callable[[Place], str],
    tensors: Tensors,
    dtype: Any = np.float32,
) -> Variables:
    """Arranges tensors as variables of a network.

    Args:
      network: of convolutions without bias and batch normalisations.
      name_of: place of a variable -> name of its tensor.
      tensors: name -> array of any floating type; convolutions [D, C, k, k].
      dtype: of the variables.

    Returns:
      "params" and "batch_stats"; convolutions [k, k, C, D].

    Raises:
      UserError: tensors missing, too many, of another shape or not floating.
    """
    leaves, structure = tree_flatten_with_path(shapes_of(network))
    expected = {name_of(path): leaf.shape for path, leaf in leaves}
    _check_names(set(expected), set(tensors))
    arrays = []
    for name, shape in expected.items():
        array = tensors[name]
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)  # [k, k, C, D]
        if array.shape != shape or not jnp.issubdtype(array.dtype, jnp.floating):
            raise UserError(
                f"tensor {name} is {tensors[name].dtype} of shape "
                f"{tensors[name].shape}, which does not fit"
            )
        arrays.append(np.ascontiguousarray(array, dtype))
    return tree_unflatten(structure, arrays)


def to_tensors(
    network: Any, name_of: Callable[[Place], str], variables: Variables
) -> Tensors:
    """Undoes `from_tensors`.

    Raises:
      ValueError: the variables are not those of the network.
    """
    shapes = shapes_of(network)
    values = {key: variables[key] for key in shapes}
    if jax.tree.map(jnp.shape, values) != jax.tree.map(jnp.shape, shapes):
        raise ValueError("the variables are not those of the network")
    tensors = {}
    for path, value in tree_flatten_with_path(values)[0]:
        array = np.asarray(value)
        if array.ndim == 4:
            array = array.transpose(3, 2, 0, 1)  # [D, C, k, k]
        tensors[name_of(path)] = np.ascontiguousarray(array)
    return tensors


def write(path: str | pathlib.Path, tensors: Tensors) -> None:
    """Writes tensors as safetensors, at once or not at all."""
    path = pathlib.Path(path)
    data = torch_files.safetensors_bytes(tensors)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _check_names(expected: set[str], there: set[str]) -> None:
    for difference, what in (
        (expected - there, "lacks"),
        (there - expected, "also holds"),
    ):
        if difference:
            names = ", ".join(sorted(difference)[:3])
            raise UserError(f"it {what} {names} ({len(difference)} such tensors)")
