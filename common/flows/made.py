"""MADE: a dense network whose output d depends on inputs in front of d alone.

Inputs have the degrees 1 … D, hidden units degrees in 0 … D - 1. A hidden unit sees what
has at most its degree, output d what has a lower degree than d, and all hidden units of
the first layer see the condition: those of degree 0 nothing else.

    h_1 = relu(W_1 x + V c + b_1),  h_l = relu(W_l h_{l-1} + b_l),  out = W h_L + b

Source: Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation".
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

# PyTorch's default: uniform within 1 / sqrt(inputs).
UNIFORM = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")

Masks = Literal["spread", "narrow"]
Update = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


def hidden_degrees(masks: Masks, size: int, hidden: int) -> np.ndarray:
    """Degrees of the units of a hidden layer, in order.

    Args:
      masks: "spread": evenly over 0 … D - 1, so that even few units let the last
        coordinates see something of all before. "narrow": 1, 2, … as far as the units
        go, over and over, as PyTorchTS has it: with fewer units than coordinates
        what comes after the first ones is seen by none, and the first output is a
        constant.
      size: D.
      hidden: units.

    Returns:
      int [hidden].
    """
    if masks == "narrow" and size > 1:
        return np.sort(1 + np.arange(hidden) % (size - 1))
    return np.round(np.linspace(0, size - 1, hidden)).astype(int)


@dataclasses.dataclass(frozen=True, eq=False)
class Blocks:
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
    bounds = [0, *found.tolist(), size]
    width = int(counts.max())
    return Blocks(
        np.minimum(firsts, hidden - width),
        width,
        tuple(range(a, b) for a, b in zip(bounds[:-1], bounds[1:], strict=True)),
    )


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
        columns = [
            (kernel, bias)
            for kernel, bias in zip(kernels, self.biases[1:], strict=True)
        ]

        def step(carry, inputs):
            sums, hidden = carry
            start, units, kernel_in, kernel_out, bias_out, noise = inputs
            h, done = nn.relu(sums), []
            for before, (kernel, bias) in zip(hidden, units, strict=True):
                new = nn.relu(h @ kernel + bias[None])  # [N, width]
                h = lax.dynamic_update_slice(before, new, (0, start))
                done.append(h)
            x, s = update(_outputs(h, kernel_out, bias_out), noise)
            return (sums + x @ kernel_in, done), (x, s)

        def inputs_of(groups: slice, outputs: np.ndarray):
            """What steps read; outputs int [G, b] holds D where a block is shorter."""
            units = blocks.starts[groups, None] + np.arange(blocks.width)  # [G, width]
            return (
                blocks.starts[groups],
                [(jnp.moveaxis(k[:, units], 1, 0), b[units]) for k, b in columns],
                _take(first, outputs, 0),
                jnp.moveaxis(_take(last, outputs, 2), 2, 0),
                jnp.moveaxis(_take(self.bias_out, outputs, 1), 1, 0),
                jnp.moveaxis(_take(u, outputs, 1), 1, 0),
            )

        sums = self._start(condition)
        bias = self.bias_out[:, None, : len(head)]
        known = update(
            jnp.broadcast_to(bias, (2, *u[:, : len(head)].shape)), u[:, : len(head)]
        )
        carry = (
            sums + known[0] @ first[: len(head)],
            [jnp.zeros_like(sums)] * len(columns),
        )
        parts = [known]
        if between:
            longest = max(map(len, between))
            outputs = np.full((len(between), longest), self.size)
            for row, block in zip(outputs, between, strict=True):
                row[: len(block)] = block
            carry, found = lax.scan(step, carry, inputs_of(slice(-1), outputs))
            where = np.flatnonzero(outputs.ravel() < self.size)
            parts.append(
                [jnp.moveaxis(f, 0, 1).reshape(len(u), -1)[:, where] for f in found]
            )
        only = jax.tree.map(
            lambda leaf: leaf[0], inputs_of(slice(-1, None), np.array([tail]))
        )
        parts.append(step(carry, only)[1])
        x, s = (jnp.concatenate(part, 1) for part in zip(*parts, strict=True))
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


def _outputs(h: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """[2, N, b] of hidden units [N, hidden]."""
    return jnp.einsum("nh,hkb->knb", h, kernel) + bias[:, None]


def _take(array: jax.Array, indices: np.ndarray, axis: int) -> jax.Array:
    """Entries along an axis, 0 where an index is past its end."""
    return jnp.take(array, indices, axis=axis, mode="fill", fill_value=0)
