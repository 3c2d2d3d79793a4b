"""MADE: a dense network whose output d depends on inputs in front of d alone.

Inputs have the degrees 1 … D, hidden units degrees in 0 … D - 1. A hidden unit sees what
has at most its degree, output d what has a lower degree than d, and all hidden units of
the first layer see the condition: those of degree 0 nothing else.

    h_1 = relu(W_1 x + V c + b_1),  h_l = relu(W_l h_{l-1} + b_l),  out = W h_L + b

Source: Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation".
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

# PyTorch's default: uniform within 1 / sqrt(inputs).
UNIFORM = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")

Masks = Literal["spread", "narrow", "independent"]
Update = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


def hidden_degrees(masks: Masks, size: int, hidden: int) -> np.ndarray:
    """Degrees of the units of a hidden layer, in order.

    Args:
      masks: "spread": evenly over 0 … D - 1, so that even few units let the last
        coordinates see something of all before. "narrow": 1, 2, … as far as the units
        go, over and over, as PyTorchTS has it: with fewer units than coordinates
        what comes after the first ones is seen by none, and the first output is a
        constant. "independent": all 0, so that every output depends on the condition
        alone, to see what dependence is worth.
      size: D.
      hidden: units.

    Returns:
      int [hidden].
    """
    if masks == "independent":
        return np.zeros(hidden, int)
    if masks == "narrow" and size > 1:
        return np.sort(1 + np.arange(hidden) % (size - 1))
    return np.round(np.linspace(0, size - 1, hidden)).astype(int)


class Blocks(NamedTuple):
    """Which outputs can be computed together, once the inputs before are known.

    Hidden units of one degree are a group. After group g the outputs up to the degree of
    group g + 1 are determined: they are block g. Block 0 depends on no unit.

    Attributes:
      starts: int [G], the first unit of a group, or as many before as the width allows.
      width: units of the largest group.
      outputs: of each block, G + 1 ranges.
    """

    starts: np.ndarray
    width: int
    outputs: tuple[range, ...]


@functools.lru_cache(maxsize=64)
def blocks_of(masks: Masks, size: int, hidden: int) -> Blocks:
    """The blocks of a network; see `hidden_degrees`."""
    degrees = hidden_degrees(masks, size, hidden)
    found, firsts, counts = np.unique(degrees, return_index=True, return_counts=True)
    outputs = itertools.starmap(range, itertools.pairwise([0, *found.tolist(), size]))
    width = int(counts.max())
    return Blocks(np.minimum(firsts, hidden - width), width, tuple(outputs))


class BlockWeights(NamedTuple):
    """What a step of `Made.solve` reads, or several stacked.

    Attributes:
      start: the first unit of the group.
      layers: (kernel [hidden, width], bias [width]) of its units in the later layers.
      kernel_in: [b, hidden] from the block's x.
      kernel_out: [hidden, 2, b].
      bias_out: [2, b].
      noise: [N, b].
    """

    start: Any
    layers: Any
    kernel_in: Any
    kernel_out: Any
    bias_out: Any
    noise: Any


class Made(nn.Module):
    """Two numbers of each coordinate, from the coordinates before and a condition.

    Attributes:
      size: D.
      hidden: units of each hidden layer.
      layers: hidden layers.
      masks: see `hidden_degrees`.
    """

    size: int
    hidden: int = 100
    layers: int = 3
    masks: Masks = "spread"

    def setup(self):
        """Makes the parameters."""
        zeros, size, hidden = nn.initializers.zeros, self.size, self.hidden
        self.condition_layer = nn.Dense(
            hidden, use_bias=False, kernel_init=UNIFORM, name="condition"
        )
        self.kernel_in = self.param("kernel_in", UNIFORM, (size, hidden))
        self.kernels = [
            self.param(f"kernel_{n}", UNIFORM, (hidden, hidden))
            for n in range(1, self.layers)
        ]
        self.biases = [
            self.param(f"bias_{n}", zeros, (hidden,)) for n in range(self.layers)
        ]
        self.kernel_out = self.param("kernel_out", UNIFORM, (hidden, 2 * size))
        self.bias_out = self.param("bias_out", zeros, (2, size))

    def __call__(self, x: jax.Array, condition: jax.Array) -> jax.Array:
        """Maps x [N, D] and condition [N, C] to [2, N, D], all at once."""
        first, kernels, last = self._masked()
        h = nn.relu(self._start(condition) + x @ first)  # [N, hidden]
        for kernel, bias in zip(kernels, self.biases[1:], strict=True):
            h = nn.relu(h @ kernel + bias[None])
        return _outputs(h, last, self.bias_out)

    def solve(
        self, u: jax.Array, condition: jax.Array, update: Update
    ) -> tuple[jax.Array, jax.Array]:
        """Finds x with (x, s) = update(self(x, condition), u), coordinate by coordinate.

        Every weight is used once: this takes the products of one pass, in as many steps
        as hidden units have different degrees. What a unit is before all that it sees
        is known does no harm, for none of those that are computed then sees it.

        Args:
          u: [N, D].
          condition: [N, C].
          update: (outputs [2, N, b], u [N, b]) of some coordinates -> (x, s) of them.

        Returns:
          (x [N, D], s [N, D]).
        """
        blocks = blocks_of(self.masks, self.size, self.hidden)
        head, *between, tail = blocks.outputs
        first, kernels, last = self._masked()
        layers = list(zip(kernels, self.biases[1:], strict=True))

        def read(groups: slice, outputs: np.ndarray) -> BlockWeights:
            """Blocks that follow these groups; outputs int [G, b], D where there is none."""
            units = blocks.starts[groups, None] + np.arange(blocks.width)  # [G, width]
            return BlockWeights(
                blocks.starts[groups],
                [(jnp.moveaxis(k[:, units], 1, 0), bias[units]) for k, bias in layers],
                _take(first, outputs, 0),
                jnp.moveaxis(_take(last, outputs, 2), 2, 0),
                jnp.moveaxis(_take(self.bias_out, outputs, 1), 1, 0),
                jnp.moveaxis(_take(u, outputs, 1), 1, 0),
            )

        noise, sums = u[:, : len(head)], self._start(condition)
        bias = self.bias_out[:, None, : len(head)]
        parts: list[Any] = [update(jnp.broadcast_to(bias, (2, *noise.shape)), noise)]
        sums = sums + parts[0][0] @ first[: len(head)]
        known = sums, [jnp.zeros_like(sums)] * len(layers)
        step = functools.partial(_advance, update)
        if between:
            outputs = np.full((len(between), max(map(len, between))), self.size)
            for row, block in zip(outputs, between, strict=True):
                row[: len(block)] = block
            known, found = lax.scan(step, known, read(slice(-1), outputs))
            there = np.flatnonzero(outputs.ravel() < self.size)
            flat = (jnp.moveaxis(f, 0, 1).reshape(len(u), -1) for f in found)
            parts.append(tuple(f[:, there] for f in flat))
        final = read(slice(-1, None), np.array([tail]))
        _, found = step(known, jax.tree.map(lambda leaf: leaf[0], final))
        x, s = (jnp.concatenate(part, 1) for part in zip(*parts, found, strict=True))
        return x, s

    def _start(self, condition: jax.Array) -> jax.Array:
        """What the condition gives the first layer, [N, hidden]."""
        return self.condition_layer(condition) + self.biases[0][None]

    def _masked(self) -> tuple[jax.Array, list[jax.Array], jax.Array]:
        """Kernels [D, hidden], [hidden, hidden], [hidden, 2, D] without what is masked."""
        hidden = hidden_degrees(self.masks, self.size, self.hidden)
        seen = np.arange(1, self.size + 1)
        last = self.kernel_out.reshape(self.hidden, 2, self.size)
        return (
            self.kernel_in * (seen[:, None] <= hidden[None]),
            [kernel * (hidden[:, None] <= hidden[None]) for kernel in self.kernels],
            last * (hidden[:, None, None] < seen[None, None]),
        )


def _advance(update: Update, known: Any, block: BlockWeights) -> tuple[Any, Any]:
    """Computes the next group of hidden units, then the outputs that see no later one.

    Args:
      update: see `Made.solve`.
      known: (sums of the first layer [N, hidden], units of the later ones, so far).
      block: the weights that are used.

    Returns:
      (known, (x, s) of the outputs [N, b]).
    """
    sums, before = known
    h, layers = nn.relu(sums), []
    for units, (kernel, bias) in zip(before, block.layers, strict=True):
        new = nn.relu(h @ kernel + bias[None])  # [N, width]
        h = lax.dynamic_update_slice(units, new, (0, block.start))
        layers.append(h)
    x, s = update(_outputs(h, block.kernel_out, block.bias_out), block.noise)
    return (sums + x @ block.kernel_in, layers), (x, s)


def _outputs(h: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """[2, N, b] of hidden units [N, hidden]."""
    return jnp.einsum("nh,hkb->knb", h, kernel) + bias[:, None]


def _take(array: jax.Array, indices: np.ndarray, axis: int) -> jax.Array:
    """Entries along an axis, 0 where an index is past its end."""
    return jnp.take(array, indices, axis=axis, mode="fill", fill_value=0)
