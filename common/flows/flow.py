"""A conditioned density of vectors: maps in front of independent standard normals.

    log p(x | c) = sum_d log N(u_d; 0, 1) + log |det du/dx|,   u = forward(x; c)
    x = inverse(u; c),   u ~ N(0, I)

Source: Rasul et al. 2021, "Multivariate Probabilistic Time Series Forecasting via
Conditioned Normalizing Flows", whose two flows these are.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.flows.affine_coupling import AffineCoupling
from common.flows.batch_norm import FlowBatchNorm
from common.flows.bijector import Bijector
from common.flows.chain import Chain
from common.flows.made import Masks
from common.flows.masked_autoregressive import MaskedAutoregressive
from common.flows.permutation import Permutation
from common.parallel.devices import SINGLE, Devices

FlowKind = Literal["maf", "real_nvp"]


class Flow(nn.Module):
    """Blocks of an affine map and a batch norm.

    From one block to the next the order of the coordinates is reversed (maf), or those
    that move and those that stay change places (real_nvp).

    Attributes:
      kind: of the affine maps.
      size: D.
      blocks: affine maps, each with a batch norm behind it.
      hidden: units of each hidden layer.
      layers: hidden layers of a network.
      masks: of maf, see `made.hidden_degrees`.
      bound: of maf's log-scales; 0 for none. Coupling's are below 1 by themselves.
      devices: what the batch is spread over.
    """

    kind: FlowKind
    size: int
    blocks: int = 3
    hidden: int = 100
    layers: int = 3
    masks: Masks = "spread"
    bound: float = 3.0
    devices: Devices = SINGLE

    def setup(self):
        """Makes the maps."""
        bijectors: list[Bijector] = []
        for number in range(self.blocks):
            if self.kind == "maf" and number:
                bijectors.append(Permutation(tuple(range(self.size))[::-1]))
            bijectors += [self._affine(number), FlowBatchNorm(self.size, self.devices)]
        self.chain = Chain(bijectors)

    def log_prob(
        self, x: jax.Array, condition: jax.Array, *, train: bool = False
    ) -> jax.Array:
        """Log-density [...] of x [..., D] given a condition [..., C]."""
        u, log_det = self.chain.forward_and_log_det(x, condition, train=train)
        normal = jnp.square(u).sum(-1) + self.size * math.log(2 * math.pi)
        return log_det - normal / 2

    def transform(self, noise: jax.Array, condition: jax.Array) -> jax.Array:
        """The sample [..., D] that standard normal noise [..., D] becomes."""
        return self.chain.inverse_and_log_det(noise, condition)[0]

    def _affine(self, number: int) -> Bijector:
        if self.kind == "real_nvp":
            first_moves = number % 2 == 0
            return AffineCoupling(self.size, first_moves, self.hidden, self.layers)
        return MaskedAutoregressive(
            self.size, self.hidden, self.layers, self.masks, self.bound
        )
