"""The two networks of Figure 5: one suggests a price, the other judges the photo.

Pure functions of (variables, inputs); no data source is imported.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.layers.dropout import Dropout
from common.parallel.devices import SINGLE, Devices


class Suggestion(NamedTuple):
    """What the networks say of each row of a batch, on device or host.

    Attributes:
      log_price: [B], natural log of the price.
      gate_logit: [B]; the gate's f_cls is its sigmoid.
    """

    log_price: Any
    gate_logit: Any


class Perceptron(nn.Module):
    """The feed-forward network of Figure 5, with one number as its output.

    The paper names no sizes; two hidden layers of 512 are our choice, and so is dropout.

    Attributes:
      hidden: widths of the hidden layers, each followed by ReLU.
      dropout: share of a hidden layer that is dropped in training.
      dtype: of the computation; parameters are float32.
      devices: what the batch is spread over.
    """

    hidden: Sequence[int] = (512, 512)
    dropout: float = 0.0
    dtype: Any = None
    devices: Devices = SINGLE

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> jax.Array:
        """[B] in float32 from inputs [B, D]."""
        hidden = inputs
        for number, width in enumerate(self.hidden):
            hidden = nn.Dense(width, dtype=self.dtype, name=f"hidden_{number}")(hidden)
            hidden = Dropout(self.dropout, self.devices)(nn.relu(hidden), train=train)
        output = nn.Dense(1, dtype=self.dtype, name="output")(hidden)  # [B, 1]
        return output[:, 0].astype(jnp.float32)


class Pricer(nn.Module):
    """Regression and gate side by side, without shared weights.

    Attributes:
      hidden: widths of the hidden layers of each.
      dropout: share of each hidden layer that is dropped in training.
      dtype: of the computation.
      devices: what the batch is spread over.
    """

    hidden: Sequence[int] = (512, 512)
    dropout: float = 0.0
    dtype: Any = None
    devices: Devices = SINGLE

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool = False) -> Suggestion:
        """Suggestions from standardised inputs [B, D]; log_price is standardised too.

        Args:
          inputs: [B, D].
          train: whether dropout is on, drawn from the rng stream "dropout".
        """
        outputs = []
        for name in ("regression", "gate"):
            network = Perceptron(
                self.hidden, self.dropout, self.dtype, self.devices, name=name
            )
            outputs.append(network(inputs, train=train))
        return Suggestion(*outputs)
