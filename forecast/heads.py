"""Densities of a step given a hidden state.

A head is read off hidden states of all series together [..., W], or, where the network
is shared, of each of them [..., D, W]. Values are those of `transforms`.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.flows.flow import Flow
from common.parallel.devices import SINGLE, Devices
from forecast.config import ModelConfig, Sizes
from forecast.distributions.low_rank_normal import LowRankNormal
from forecast.distributions.negative_binomial import NegativeBinomial
from forecast.distributions.normal import Normal
from forecast.distributions.row_draws import draw_rows
from forecast.distributions.student_t import StudentT

HeadKind = Literal[
    "normal", "student_t", "negative_binomial", "low_rank", "maf", "real_nvp"
]

# Of parameters of data that is scaled to about 1: without a floor the likelihood of a
# series that stays where it is has no bound.
FLOOR = 1e-4


def positive(raw: jax.Array) -> jax.Array:
    """log(1 + exp(raw)) + floor, of unbounded outputs of a network."""
    return jax.nn.softplus(raw) + FLOOR


class Head(nn.Module):
    """A density of a step.

    Attributes:
      model: knobs.
      sizes: of the data.
      shared: whether there is a hidden state of each series.
      devices: what the batch is spread over.
    """

    model: ModelConfig
    sizes: Sizes
    shared: bool = False
    devices: Devices = SINGLE

    def log_prob(
        self,
        hidden: jax.Array,
        z: jax.Array,
        observed: jax.Array,
        scale: jax.Array,
        train: bool,
    ) -> jax.Array:
        """Log-density of what is observed of each step.

        Args:
          hidden: [B, T, W] or [B, T, D, W].
          z: [B, T, D].
          observed: bool [B, T, D].
          scale: [B, D], mean size of the series.
          train: whether the density may follow the batch.

        Returns:
          [B, T].
        """
        raise NotImplementedError

    def sample(self, hidden: jax.Array, keys: jax.Array, scale: jax.Array) -> jax.Array:
        """Draws a step [N, D] from hidden states [N, …, W], each with its key [N]."""
        raise NotImplementedError

    def numbers(self, hidden: jax.Array, count: int) -> list[jax.Array]:
        """So many numbers of each series, [..., D] each, from a dense layer."""
        found = self.dense(hidden)
        if not self.shared:
            found = found.reshape(*found.shape[:-1], self.sizes.series, count)
        return [found[..., number] for number in range(count)]


class SeriesHead(Head):
    """Independent series: normal, Student's t or negative binomial.

    Attributes:
      kind: of the distribution.
    """

    kind: HeadKind = "normal"

    def setup(self):
        """Makes the layer."""
        self.dense = nn.Dense(self._count * (1 if self.shared else self.sizes.series))

    @property
    def _count(self) -> int:
        return 3 if self.kind == "student_t" else 2

    def log_prob(self, hidden, z, observed, scale, train):
        """See `Head`."""
        del train
        scale = scale[:, None]
        if self.kind == "negative_binomial":  # of counts, which z times the scale is
            z = jnp.round(z * scale)
        return self._distribution(hidden, scale).log_prob(z, observed).sum(-1)

    def sample(self, hidden, keys, scale):
        """See `Head`."""
        found = self._distribution(hidden, scale)
        if isinstance(found, Normal):
            return found.sample(_normals(keys, found.mean.shape[-1]))
        drawn = found.sample(keys)
        return drawn / scale if self.kind == "negative_binomial" else drawn

    def _distribution(self, hidden: jax.Array, scale: jax.Array) -> Any:
        mean, raw, *df = self.numbers(hidden, self._count)
        if self.kind == "negative_binomial":
            # DeepAR's rule (3.3): larger series are relatively less dispersed.
            dispersion = positive(raw) / jnp.sqrt(scale)
            return NegativeBinomial(scale * positive(mean), dispersion)
        if self.kind == "student_t":  # its variance is finite
            return StudentT(mean, positive(raw), 2 + positive(df[0]))
        return Normal(mean, positive(raw))


class LowRankHead(Head):
    """A normal whose series hang together through a few factors."""

    def setup(self):
        """Makes the layer; variances start near 1 and factors small."""
        count = 2 + self.model.rank
        self.dense = nn.Dense(count * (1 if self.shared else self.sizes.series))

    def log_prob(self, hidden, z, observed, scale, train):
        """See `Head`."""
        del scale, train
        return self._distribution(hidden).log_prob(z, observed)

    def sample(self, hidden, keys, scale):
        """See `Head`."""
        del scale
        found = self._distribution(hidden)
        series, rank = found.factors.shape[-2:]
        noise = _normals(keys, series + rank)
        return found.sample(noise[:, :series], noise[:, series:])

    def _distribution(self, hidden: jax.Array) -> LowRankNormal:
        mean, raw, *factors = self.numbers(hidden, 2 + self.model.rank)
        stacked = jnp.stack(factors, -1) / self.model.rank**0.5  # [..., D, r]
        # softplus(0.54) = 1.
        return LowRankNormal(mean, positive(raw + 0.54), stacked)


class FlowHead(Head):
    """A flow over all series, conditioned on what a dense layer makes of the state.

    What is missing has the value it was filled with, and counts as if it were observed.

    Attributes:
      kind: of the flow.
    """

    kind: Literal["maf", "real_nvp"] = "maf"

    def setup(self):
        """Makes layer and flow."""
        model = self.model
        self.dense = nn.Dense(model.condition)
        self.flow = Flow(
            self.kind,
            self.sizes.series,
            model.blocks,
            model.flow_hidden,
            model.flow_layers,
            model.masks,
            model.bound,
            self.devices,
        )

    def log_prob(self, hidden, z, observed, scale, train):
        """See `Head`."""
        del observed, scale
        return self.flow.log_prob(z, self.dense(hidden), train=train)

    def sample(self, hidden, keys, scale):
        """See `Head`."""
        del scale
        noise = _normals(keys, self.sizes.series)
        return self.flow.transform(noise, self.dense(hidden))


def make_head(
    kind: HeadKind, model: ModelConfig, sizes: Sizes, shared: bool, devices: Devices
) -> Head:
    """The head of a kind."""
    options: dict[str, Any] = {"model": model, "sizes": sizes}
    options |= {"shared": shared, "devices": devices}
    if kind in ("maf", "real_nvp"):
        return FlowHead(**options, kind=kind)
    if kind == "low_rank":
        return LowRankHead(**options)
    return SeriesHead(**options, kind=kind)


def _normals(keys: jax.Array, count: int) -> jax.Array:
    """Standard normals [N, count], a row a key [N]."""
    return draw_rows(lambda key: jax.random.normal(key, (count,)), keys)
