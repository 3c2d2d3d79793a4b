"""GRU and LSTM in layers, over whole sequences and step by step.

    GRU   r = s(W_r x + U_r h),  z = s(W_z x + U_z h),  n = tanh(W_n x + r (U_n h + b))
          h <- (1 - z) n + z h
    LSTM  i, f, o = s(W x + U h),  g = tanh(W_g x + U_g h)
          c <- f c + i g,  h <- o tanh(c)

with s the logistic function and a bias in every W x, as in PyTorch (whose second biases
add nothing but for n). W x is computed for all times at once, so that a step of the
recurrence is one product.

Sources: Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder";
Hochreiter and Schmidhuber 1997, "Long Short-Term Memory".
"""

import functools
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from common.layers.dropout import Dropout
from common.parallel.devices import SINGLE, Devices

CellKind = Literal["gru", "lstm"]
GATES = {"gru": 3, "lstm": 4}
_UNROLL = 4  # steps of the recurrence in one turn of its loop

Carry = Any  # of each layer: h, or (c, h), [N, width] each


class Recurrent(nn.Module):
    """Layers of cells.

    Attributes:
      kind: of the cells.
      width: of a layer.
      layers: one on top of the other.
      dropout: rate between layers.
      residual: whether a layer, but the first, adds to its input.
      dtype: of the products; None for that of the inputs. States are float32.
      devices: what the batch is spread over.
    """

    kind: CellKind
    width: int = 40
    layers: int = 2
    dropout: float = 0.0
    residual: bool = False
    dtype: Any = None
    devices: Devices = SINGLE

    def setup(self):
        """Makes the parameters."""
        # PyTorch's: uniform within 1 / sqrt(width), biases too.
        within = 1 / math.sqrt(self.width)

        def init(key, shape, dtype=jnp.float32):
            return jax.random.uniform(key, shape, dtype, -within, within)

        gates = GATES[self.kind] * self.width
        self.inputs = [
            nn.Dense(gates, dtype=self.dtype, kernel_init=init, bias_init=init)
            for _ in range(self.layers)
        ]
        shape = (self.width, gates)
        self.kernels = [
            self.param(f"hidden_{n}", init, shape) for n in range(self.layers)
        ]
        if self.kind == "gru":
            self.biases = [
                self.param(f"bias_{n}", init, (self.width,)) for n in range(self.layers)
            ]
        self.drop = Dropout(self.dropout, self.devices)

    def begin(self, x: jax.Array, *, train: bool = False) -> tuple[jax.Array, Carry]:
        """Reads the context [B, C, …, I] from zero states; see `advance`."""
        zeros = jnp.zeros((x.shape[0], *x.shape[2:-1], self.width))
        carry = zeros if self.kind == "gru" else (zeros, zeros)
        return self.advance(x, (carry,) * self.layers, train=train)

    def advance(
        self, x: jax.Array, carry: Carry, *, train: bool = False
    ) -> tuple[jax.Array, Carry]:
        """Reads on.

        Args:
          x: [B, T, …, I]; axes after the time are sequences of their own.
          carry: of what was read before.
          train: whether dropout is on.

        Returns:
          (hidden states float32 [B, T, …, width], carry).
        """
        after = []
        for number, (layer, state) in enumerate(zip(self.inputs, carry, strict=True)):
            gates = jnp.moveaxis(layer(x).astype(jnp.float32), 1, 0)  # [T, B, …]
            state, hidden = lax.scan(
                functools.partial(self._cell, number),
                state,
                gates,
                unroll=min(_UNROLL, len(gates)),
            )
            hidden = jnp.moveaxis(hidden, 0, 1)
            x = x + hidden if self.residual and number else hidden
            after.append(state)
            if number < self.layers - 1:
                x = self.drop(x, train=train)
        return x, tuple(after)

    def _cell(self, number: int, state: Carry, gates: jax.Array):
        """One step of a layer: (state, gates of the input) -> (state, h)."""
        h = state if self.kind == "gru" else state[1]
        recurrent = h @ self.kernels[number]
        if self.kind == "gru":
            reset, update, new = jnp.split(gates, 3, -1)
            r, z, n = jnp.split(recurrent, 3, -1)
            bias = self.biases[number].reshape((1,) * (n.ndim - 1) + (-1,))
            n = jnp.tanh(new + nn.sigmoid(reset + r) * (n + bias))
            z = nn.sigmoid(update + z)
            h = (1 - z) * n + z * h
            return h, h
        i, f, g, o = jnp.split(gates + recurrent, 4, -1)
        c = nn.sigmoid(f) * state[0] + nn.sigmoid(i) * jnp.tanh(g)
        h = nn.sigmoid(o) * jnp.tanh(c)
        return (c, h), h
