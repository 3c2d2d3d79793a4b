"""The two networks of Figure 5: one suggests a price, the other judges the photo.

Pure functions of (variables, inputs); no data source is imported.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.layers.dropout import Dropout
from common.layers.embeddings import BAG, words_of
from common.layers.words import WordBag
from common.parallel.devices import SINGLE, Devices
from common.tables.encoders import AttributeSpec

Batch = Mapping[str, jax.Array]
NO_TEXTS = AttributeSpec(())


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

    Each text enters both as a bag of its words, and leads straight to the price.

    Attributes:
      hidden: widths of the hidden layers of each.
      dropout: share of each hidden layer that is dropped in training.
      dtype: of the computation.
      devices: what the batch is spread over.
      spec: of the texts.
    """

    hidden: Sequence[int] = (512, 512)
    dropout: float = 0.0
    dtype: Any = None
    devices: Devices = SINGLE
    spec: AttributeSpec = NO_TEXTS

    @nn.compact
    def __call__(
        self, inputs: jax.Array, batch: Batch | None = None, *, train: bool = False
    ) -> Suggestion:
        """Suggestions from standardised inputs [B, D]; log_price is standardised too.

        Args:
          inputs: [B, D].
          batch: word_ids and word_weights [B, sum L], where there are texts.
          train: whether dropout is on, drawn from the rng stream "dropout".
        """
        texts = [
            (index, text.size, words_of(batch or {}, columns))
            for index, text, columns in self.spec.texts()
        ]
        init = nn.initializers.normal(1.0)  # of weights with norm 1: unit variance
        outputs = []
        for name in ("regression", "gate"):
            bags = [
                WordBag(size, BAG, init, self.dtype, name=f"{name}_words_{index}")(
                    *words
                )
                for index, size, words in texts
            ]
            network = Perceptron(
                self.hidden, self.dropout, self.dtype, self.devices, name=name
            )
            seen = jnp.concatenate([inputs, *bags], axis=1) if bags else inputs
            outputs.append(network(seen, train=train))
        price, gate = outputs
        for index, size, words in texts:
            # In float32: a price has more digits than bfloat16.
            price += WordBag(size, 1, name=f"wide_price_{index}")(*words)[:, 0]
        return Suggestion(price, gate)
