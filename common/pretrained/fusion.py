"""Fusions trained with the BLOCK repository's PyTorch classes, without PyTorch."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from common.errors import UserError
from common.fusion.block import Block
from common.fusion.concatenation import ConcatenationMLP
from common.fusion.linear_sum import LinearSum
from common.fusion.mcb import MCB
from common.fusion.mfb import MFB
from common.fusion.mfh import MFH
from common.fusion.mlb import MLB
from common.fusion.mutan import Mutan
from common.fusion.operator import Fusion
from common.fusion.tucker import Tucker
from common.pretrained.fusion_options import OPTIONS, check_options

Tree = dict[str, Any]


def fusion_from_torch(
    kind: str, options: Mapping[str, Any], state_dict: Mapping[str, Any]
) -> tuple[Fusion, Tree]:
    """Loads a fusion trained with the authors' PyTorch code.

        module, variables = fusion_from_torch(
            "Block", {"input_dims": [2048, 200], "output_dim": 1024}, weights
        )
        z = module.apply(variables, x0, x1)

    Args:
      kind: class name in the BLOCK repository: Block, BlockTucker, Mutan, Tucker,
        MLB, MFB, MFH, MCB, LinearSum or ConcatMLP.
      options: constructor options of that class; the others have its defaults.
      state_dict: tensor name -> anything that `np.asarray` takes. float64 is kept
        where JAX has it enabled, other floating types become float32.

    Returns:
      the module, and its variables.

    Raises:
      UserError: kind or option unknown, a value out of range, or a tensor missing,
        left over, or of another shape than the options say.

    Source: package block.bootstrap.pytorch 0.1.6, `fusions.py`.
    """
    if kind not in OPTIONS:
        raise UserError(
            f"fusion kind {kind!r} is unknown: choose one of {', '.join(OPTIONS)}"
        )
    checked = check_options(kind, options)
    tensors = _Tensors(kind, state_dict)
    module, variables = _LOADERS[kind](checked, tensors)
    tensors.refuse_leftovers()
    return module, jax.tree.map(jnp.asarray, variables)


def split_sizes(width: int, chunks: int) -> tuple[int, ...]:
    """Widths of the blocks into which the BLOCK repository cuts a vector.

    Ceiling division with the remainder in the last block. If that goes negative, the
    last block is restored and the last few blocks lose one each: 10 over 7 gives
    2, 2, 2, 1, 1, 1, 1.

    Args:
      width: of the vector.
      chunks: number of blocks.

    Returns:
      the widths, all positive.

    Raises:
      UserError: a block would be empty.
    """
    size = -(-width // chunks)
    last = width - size * (chunks - 1)
    if last >= 0:
        sizes = [size] * (chunks - 1) + [last]
    else:
        lessened = size - last
        sizes = [size] * (chunks - lessened) + [size - 1] * lessened
    if min(sizes) < 1 or len(sizes) != chunks:
        raise UserError(
            f"mm_dim {width} over {chunks} chunks leaves an empty block: "
            "choose fewer chunks"
        )
    return tuple(sizes)


class _Tensors:
    """The tensors of a state dict, each taken once and checked."""

    def __init__(self, kind: str, state_dict: Mapping[str, Any]):
        self._kind = kind
        self._state_dict = state_dict
        self._left = set(state_dict)

    def take(self, name: str, *shape: int) -> np.ndarray:
        """Returns the tensor `name`, which must have that shape."""
        if name not in self._state_dict:
            raise UserError(
                f"weights of {self._kind}: tensor {name!r} is missing; check the kind, "
                "its options, and that names carry no prefix"
            )
        self._left.discard(name)
        try:
            array = np.asarray(self._state_dict[name])
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(
                f"weights of {self._kind}: tensor {name!r} cannot be read as an array "
                f"({str(error).splitlines()[0]})"
            ) from error
        if array.shape != shape:
            raise UserError(
                f"weights of {self._kind}: tensor {name!r} has shape {array.shape}, "
                f"but the options say {shape}"
            )
        if array.dtype.kind not in "fiu":
            raise UserError(
                f"weights of {self._kind}: tensor {name!r} has type {array.dtype}, "
                "not numbers"
            )
        return array

    def take_floats(self, name: str, *shape: int) -> np.ndarray:
        """Returns the tensor `name` as float32, or float64 if it is that."""
        array = self.take(name, *shape)
        return array if array.dtype == np.float64 else array.astype(np.float32)

    def linear(self, name: str, size: int, features: int) -> Tree:
        """Returns kernel [size, features] and bias of a torch linear map."""
        return {
            "kernel": self.take_floats(f"{name}.weight", features, size).T,
            "bias": self.take_floats(f"{name}.bias", features),
        }

    def bilinear(self, name: str, size: int) -> Tree:
        """Returns core [size, size, size] (x, y, out) and bias of a torch bilinear."""
        core = self.take_floats(f"{name}.weight", size, size, size)
        return {
            "core": core.transpose(1, 2, 0),  # [I, J, O]
            "bias": self.take_floats(f"{name}.bias", size),
        }

    def drop_alias(self, alias: str, name: str) -> None:
        """Accepts `alias.*` as a second name of `name.*`, if it is there at all."""
        for part in ("weight", "bias"):
            second = f"{alias}.{part}"
            if second not in self._state_dict:
                continue
            first = self.take_floats(
                f"{name}.{part}", *np.shape(self._state_dict[second])
            )
            if not np.array_equal(self.take_floats(second, *first.shape), first):
                raise UserError(
                    f"weights of {self._kind}: {second!r} differs from "
                    f"{name + '.' + part!r}, but the option shared says they are one"
                )

    def refuse_leftovers(self) -> None:
        """Raises if a tensor was not taken."""
        if self._left:
            raise UserError(
                f"weights of {self._kind}: tensor {min(self._left)!r} has no place in "
                "it; check the kind and its options"
            )


def _output(options: Tree, tensors: _Tensors, width: int) -> Tree:
    linear = tensors.linear("linear_out", width, options["output_dim"])
    return {"output": {"linear": linear}}


def _projections(
    options: Tree, tensors: _Tensors, width: int, shared: bool = False
) -> Tree:
    size_x, size_y = options["input_dims"]
    tree = {"project_x": {"linear": tensors.linear("linear0", size_x, width)}}
    if shared:
        tensors.drop_alias("linear1", "linear0")
    else:
        tree["project_y"] = {"linear": tensors.linear("linear1", size_y, width)}
    return tree


def _stack(trees: list[Tree]) -> Tree:
    """Stacks equal parameter trees along a new axis in front."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def _rank_blocks(options: Tree, tensors: _Tensors, sizes: dict[int, int]) -> Tree:
    """Stacks the rank-limited maps of some blocks; sizes: number -> width."""
    rank = options["rank"]
    tree = {}
    for side in range(1 if options["shared"] else 2):
        names = {i: f"merge_linears{side}.{i}" for i in sizes}
        maps = [tensors.linear(names[i], n, n * rank) for i, n in sizes.items()]
        tree[f"expand_{'xy'[side]}"] = _stack(maps)
    if options["shared"]:
        for i in sizes:
            tensors.drop_alias(f"merge_linears1.{i}", f"merge_linears0.{i}")
    return tree


def _load_block(options: Tree, tensors: _Tensors) -> tuple[Fusion, Tree]:
    """Block (limited rank) and BlockTucker (full cores, no option "rank")."""
    width, chunks = options["mm_dim"], options["chunks"]
    sizes = split_sizes(width, chunks)
    params = _projections(options, tensors, width, options["shared"])
    # Like the module, one stack of parameters for each run of equal blocks.
    for i, size in enumerate(sorted(set(sizes), reverse=True)):
        run = {number: n for number, n in enumerate(sizes) if n == size}
        if "rank" in options:
            params[f"blocks_{i}"] = _rank_blocks(options, tensors, run)
        else:
            cores = [tensors.bilinear(f"bilinears.{number}", size) for number in run]
            params[f"blocks_{i}"] = _stack(cores)
    params |= _output(options, tensors, width)
    module = Block(
        features=options["output_dim"],
        width=width,
        chunks=chunks,
        rank=options.get("rank"),
        normalise="before" if options["pos_norm"] == "before_cat" else "after",
        shared=options["shared"],
        block_sizes=None if len(set(sizes)) == 1 else sizes,
        **_dropouts(options),
    )
    return module, {"params": params}


def _dropouts(options: Tree) -> Tree:
    """Rates of the classes that drop before and after the output map."""
    return {
        "dropout_projected": options["dropout_input"],
        "dropout_fused": options["dropout_pre_lin"],
        "dropout_output": options["dropout_output"],
    }


def _load_mutan(options: Tree, tensors: _Tensors) -> tuple[Fusion, Tree]:
    width, rank, shared = options["mm_dim"], options["rank"], options["shared"]
    params = _projections(options, tensors, width, shared)
    core = {"expand_x": _stack([tensors.linear("merge_linear0", width, width * rank)])}
    if shared:
        tensors.drop_alias("merge_linear1", "merge_linear0")
    else:
        expand_y = tensors.linear("merge_linear1", width, width * rank)
        core["expand_y"] = _stack([expand_y])
    params |= {"core": core} | _output(options, tensors, width)
    module = Mutan(
        features=options["output_dim"],
        width=width,
        rank=rank,
        activation="none",
        normalise=options["normalize"],
        shared=shared,
        **_dropouts(options),
    )
    return module, {"params": params}


def _load_tucker(options: Tree, tensors: _Tensors) -> tuple[Fusion, Tree]:
    # The class overwrites what its option "shared" sets up: both sides have weights.
    width = options["mm_dim"]
    params = _projections(options, tensors, width)
    params["core"] = _stack([tensors.bilinear("bilinear", width)])
    params |= _output(options, tensors, width)
    module = Tucker(
        features=options["output_dim"],
        width=width,
        normalise=options["normalize"],
        **_dropouts(options),
    )
    return module, {"params": params}


def _load_elementwise(
    options: Tree, tensors: _Tensors, operator: type[MLB] | type[LinearSum]
) -> tuple[Fusion, Tree]:
    """MLB and LinearSum, whose weights and options are the same."""
    width = options["mm_dim"]
    params = _projections(options, tensors, width)
    params |= _output(options, tensors, width)
    module = operator(
        features=options["output_dim"],
        width=width,
        activation=options["activ_input"],
        activation_output=options["activ_output"],
        normalise=options["normalize"],
        **_dropouts(options),
    )
    return module, {"params": params}


def _expansion(options: Tree, tensors: _Tensors, suffix: str = "") -> Tree:
    """Weights of one MFB stage, whose maps keep their biases apart."""
    expanded = options["mm_dim"] * options["factor"]
    tree = {}
    for side, size in enumerate(options["input_dims"]):
        linear = tensors.linear(f"linear{side}{suffix}", size, expanded)
        tree[f"linear_{'xy'[side]}"] = {"kernel": linear["kernel"]}
        tree[f"bias_{'xy'[side]}"] = linear["bias"]
    return tree


def _load_mfb(options: Tree, tensors: _Tensors) -> tuple[Fusion, Tree]:
    width = options["mm_dim"]
    params = _expansion(options, tensors) | _output(options, tensors, width)
    module = MFB(
        features=options["output_dim"],
        width=width,
        factor=options["factor"],
        activation=options["activ_input"],
        activation_output=options["activ_output"],
        normalise=options["normalize"],
        dropout_projected=options["dropout_input"],
        dropout_product=options["dropout_pre_norm"],
        dropout_output=options["dropout_output"],
    )
    return module, {"params": params}


def _load_mfh(options: Tree, tensors: _Tensors) -> tuple[Fusion, Tree]:
    width = 2 * options["mm_dim"]
    params = {f"stage_{i}": _expansion(options, tensors, f"_{i}") for i in range(2)}
    params |= _output(options, tensors, width)
    module = MFH(
        features=options["output_dim"],
        width=width,
        factor=options["factor"],
        activation=options["activ_input"],
        activation_output=options["activ_output"],
        normalise=options["normalize"],
        dropout_projected=options["dropout_input"],
        # Named after the linear map, it acts on the products all the same.
        dropout_product=options["dropout_pre_lin"],
        dropout_output=options["dropout_output"],
    )
    return module, {"params": params}


def _load_mcb(options: Tree, tensors: _Tensors) -> tuple[Fusion, Tree]:
    width = options["mm_dim"]
    sketch: Tree = {}
    for side, size in enumerate(options["input_dims"]):
        name = f"mcb.sketch{side + 1}"
        bucket = tensors.take(f"{name}.h", size)
        if bucket.min() < 0 or bucket.max() >= width:
            raise UserError(f"weights of MCB: {name}.h is not within 0 .. {width - 1}")
        sketch[f"bucket_{'xy'[side]}"] = bucket.astype(np.int32)
        sketch[f"sign_{'xy'[side]}"] = tensors.take_floats(f"{name}.s", size)
    module = MCB(
        features=options["output_dim"],
        width=width,
        activation_output=options["activ_output"],
        normalise=False,
        dropout_output=options["dropout_output"],
    )
    return module, {"params": _output(options, tensors, width), "sketch": sketch}


def _load_concat_mlp(options: Tree, tensors: _Tensors) -> tuple[Fusion, Tree]:
    hidden = options["dimensions"]
    widths = (sum(options["input_dims"]), *hidden, options["output_dim"])
    params = {
        f"layer_{i}": tensors.linear(f"mlp.linears.{i}", widths[i], widths[i + 1])
        for i in range(len(widths) - 1)
    }
    module = ConcatenationMLP(
        features=options["output_dim"],
        hidden=hidden,
        activation=options["activation"],
        dropout=options["dropout"],
    )
    return module, {"params": params}


_LOADERS: dict[str, Callable[[Tree, _Tensors], tuple[Fusion, Tree]]] = {
    "Block": _load_block,
    "BlockTucker": _load_block,
    "Mutan": _load_mutan,
    "Tucker": _load_tucker,
    "MLB": functools.partial(_load_elementwise, operator=MLB),
    "MFB": _load_mfb,
    "MFH": _load_mfh,
    "MCB": _load_mcb,
    "LinearSum": functools.partial(_load_elementwise, operator=LinearSum),
    "ConcatMLP": _load_concat_mlp,
}
