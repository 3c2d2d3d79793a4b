"""The networks: inputs, a body that reads them, and a head that is a density.

    z     = transform(x)                     each window                    transforms
    in_t  = [z_{t-lag} …, calendar_t, covariates_t, embedding]
    h_t   = body(in_<=t)                     layers/recurrent, layers/transformer
    z_t   ~ head(h_t)                        heads

One network reads all series as one vector, or the same network reads each of them alone
(`shared`), so that a series it has never seen can be forecast too: in training the
embeddings of some are hidden.

| name | body | reads | density of z_t | transform |
|---|---|---|---|---|
| deepar | LSTM | each series | Student's t, or negative binomial for counts | scaled |
| vec_lstm | LSTM | all | independent normals | scaled |
| vec_lstm_copula | LSTM | all | normal of low rank | copula |
| gp | LSTM | each series | normal of low rank over the series | scaled |
| gp_copula | LSTM | each series | normal of low rank over the series | copula |
| gru_real_nvp | GRU | all | conditioned Real NVP | scaled |
| gru_maf | GRU | all | conditioned MAF | scaled |
| transformer_maf | transformer | all | conditioned MAF | scaled |
| width | none, `forecast.width` | each series | paths half of Student's t | returns |

Sources: Salinas et al. 2020, "DeepAR: Probabilistic Forecasting with Autoregressive
Recurrent Networks"; Salinas et al. 2019, "High-Dimensional Multivariate Forecasting with
Low-Rank Gaussian Copula Processes" (vec_lstm to gp_copula); Rasul et al. 2021,
"Multivariate Probabilistic Time Series Forecasting via Conditioned Normalizing Flows".
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from common.parallel.devices import SINGLE, Devices
from forecast.config import COPULAS, ModelConfig, Sizes, WindowConfig
from forecast.distributions.support import to_support
from forecast.heads import HeadKind, make_head
from forecast.layers.recurrent import Recurrent
from forecast.layers.transformer import EncoderDecoder
from forecast.transforms import Transform, fit_transform
from forecast.windows import Window

# Share of the series whose embedding training hides from a shared network, each window
# anew, so that zeros have a meaning: a series that is new.
HIDDEN = 0.1


class Form(NamedTuple):
    """What makes a network.

    Attributes:
      body: what reads.
      head: density of a step.
      shared: whether it reads each series alone.
      residual: whether the upper layers add to their input.
    """

    body: Literal["gru", "lstm", "transformer", "walk"]
    head: HeadKind
    shared: bool = False
    residual: bool = False


FORMS = {
    "deepar": Form("lstm", "student_t", shared=True),
    "vec_lstm": Form("lstm", "normal", residual=True),
    "vec_lstm_copula": Form("lstm", "low_rank", residual=True),
    "gp": Form("lstm", "low_rank", shared=True),
    "gp_copula": Form("lstm", "low_rank", shared=True),
    "gru_real_nvp": Form("gru", "real_nvp"),
    "gru_maf": Form("gru", "maf"),
    "transformer_maf": Form("transformer", "maf"),
    "width": Form("walk", "student_t", shared=True),  # no `Forecaster`: forecast.width
}


class Likelihood(NamedTuple):
    """Log-densities of the steps of a batch.

    Attributes:
      scaled: of z [B, T], what is trained.
      slope: log dz/dx of the observed series [B, T]; their sum is the density of x.
        None where there is none.
      series: observed ones of each step [B, T].
    """

    scaled: jax.Array
    slope: jax.Array | None
    series: jax.Array


class Forecaster(nn.Module):
    """A network over windows.

    Attributes:
      model: knobs.
      sizes: of the data.
      options: what values may be, and what is made of counts.
      dtype: of the body's products; None for float32.
      devices: what the batch is spread over.
    """

    model: ModelConfig
    sizes: Sizes
    options: WindowConfig = WindowConfig()
    dtype: Any = None
    devices: Devices = SINGLE

    def setup(self):
        """Makes the layers."""
        model, form = self.model, self.form
        assert form.body != "walk", "that is forecast.width"
        if form.body == "transformer":
            self.body: Any = EncoderDecoder(
                self.sizes.horizon,
                model.width,
                model.heads,
                model.layers,
                model.dropout,
                model.positions,
                self.dtype,
                self.devices,
            )
        else:
            self.body = Recurrent(
                form.body,
                model.cells,
                model.layers,
                model.dropout,
                form.residual,
                self.dtype,
                self.devices,
            )
        kind = form.head
        if kind == "student_t" and self.options.support == "count":
            kind = "negative_binomial"
        self.head = make_head(kind, model, self.sizes, form.shared, self.devices)
        if form.shared:
            self.embeddings = [
                nn.Embed(levels, min(50, (levels + 1) // 2))
                for levels in (self.sizes.series, *self.sizes.levels)
            ]

    @property
    def form(self) -> Form:
        """What makes this network."""
        return FORMS[self.model.name]

    def transform(self, window: Window) -> Transform:
        """What the past of each window says of its values."""
        by_copula = self.model.name in COPULAS
        return fit_transform(self.model, self.sizes, window, by_copula)

    def log_prob(self, window: Window, *, train: bool = False) -> Likelihood:
        """Log-densities of context and horizon given what came before.

        Args:
          window: with its horizon.
          train: whether dropout is on and flows follow the batch.

        Returns:
          Of context and horizon, T = C + H; of the horizon alone, T = H, where the body
          reads the context without forecasting it.
        """
        transform = self.transform(window)
        z = transform.forward(window.values, window.observed)
        hidden = self.read(z, window, train=train)
        last = slice(-hidden.shape[1], None)
        observed, scale = window.observed[:, last], transform.scale
        scaled = self.head.log_prob(hidden, z[:, last], observed, scale, train)
        slope = transform.log_slope(window.values[:, last])
        slope = jnp.where(observed, slope, 0.0).sum(-1)
        return Likelihood(scaled, slope, _numbers(observed).sum(-1))

    def read(self, z: jax.Array, window: Window, *, train: bool = False) -> jax.Array:
        """Hidden states [B, T, W] or [B, T, D, W] of the steps that are forecast.

        Args:
          z: [B, P + H, D], what the window's values became.
          window: says the rest.
          train: whether dropout is on.
        """
        told = self._lags(_numbers(window.observed))
        inputs = self._inputs(self._lags(z), told, window, train=train)
        context, horizon = jnp.split(inputs, [self.sizes.context], axis=1)
        hidden, carry = self.body.begin(context, train=train)
        after, _ = self.body.advance(horizon, carry, train=train)
        return after if hidden is None else jnp.concatenate([hidden, after], 1)

    def sample(self, window: Window, keys: jax.Array) -> jax.Array:
        """Paths of the horizons, [B, S, H, D] in the units of the data.

        Encodes each context once; then all paths go on side by side, step by step.

        Args:
          window: the values of its horizon are not looked at.
          keys: one a path [B, S]; a path depends on its window and its key alone.
        """
        sizes, paths = self.sizes, keys.shape[1]
        transform = self.transform(window)
        past = (leaf[:, : sizes.past] for leaf in (window.values, window.observed))
        z = transform.forward(*past)
        z = jnp.pad(z, ((0, 0), (0, sizes.horizon), (0, 0)))
        # What is sampled counts as observed.
        observed = window.observed.at[:, sizes.past :].set(True)
        lags, told = self._lags(z), self._lags(_numbers(observed))
        first = slice(0, sizes.context)
        read = window._replace(
            calendar=window.calendar[:, first], covariates=window.covariates[:, first]
        )
        context = self._inputs(lags[:, first], told[:, first], read)
        _, carry = self.body.begin(context)
        parts = (lags, told, window.calendar, window.covariates)
        known = [leaf[:, sizes.context :] for leaf in parts]
        carry, known, scale = jax.tree.map(
            lambda leaf: jnp.repeat(leaf, paths, 0), (carry, known, transform.scale)
        )
        flat = keys.reshape(-1)
        places = jnp.arange(sizes.horizon)
        back = np.array(sizes.lags)

        def step(module, state, place):
            carry, samples = state
            lagged, told, *others = (leaf[:, place][:, None] for leaf in known)
            # Steps back within the horizon are those of the path itself.
            own = samples[:, jnp.maximum(place - back, 0)]  # [N, lags, D]
            own = jnp.moveaxis(own, 1, -1)[:, None]
            lagged = jnp.where((place >= back)[None, None, None], own, lagged)
            ahead = window._replace(calendar=others[0], covariates=others[1])
            inputs = module._inputs(lagged, told, ahead)
            hidden, carry = module.body.advance(inputs, carry)
            turn = jax.vmap(jax.random.fold_in, (0, None))(flat, place)
            drawn = module.head.sample(hidden[:, 0], turn, scale)  # [N, D]
            return (carry, samples.at[:, place].set(drawn)), None

        samples = jnp.zeros((len(flat), sizes.horizon, z.shape[-1]), z.dtype)
        loop = nn.scan(
            step, variable_broadcast=("params", "batch_stats"), split_rngs={}
        )
        (_, samples), _ = loop(self, (carry, samples), places)
        z = samples.reshape(keys.shape[0], paths, *samples.shape[1:])
        return to_support(
            transform.inverse(z), self.options.support, self.options.dequantise
        )

    def _lags(self, values: jax.Array) -> jax.Array:
        """Values [B, P + H, D] some steps back: [B, C + H, D, lags]."""
        sizes, steps = self.sizes, self.sizes.context + self.sizes.horizon
        first = sizes.past - sizes.context
        parts = [values[:, first - lag :][:, :steps] for lag in sizes.lags]
        return jnp.stack(parts, -1)

    def _inputs(
        self,
        lags: jax.Array,
        told: jax.Array,
        window: Window,
        *,
        train: bool = False,
    ) -> jax.Array:
        """What the body reads of steps.

        Args:
          lags: [B, T, D, lags].
          told: [B, T, D, lags], 1 where these were observed.
          window: calendar [B, T, F] and covariates [B, T, D, K] of the same steps.
          train: whether the network learns to forecast series that it does not know.

        Returns:
          [B, T, I], or of each series [B, T, D, I] where the network is shared.
        """
        rows, steps, series, _ = lags.shape
        parts = [lags, window.covariates]
        if self.sizes.missing:
            parts.append(told)
        if not self.form.shared:
            flat = [part.reshape(rows, steps, -1) for part in parts]
            return jnp.concatenate([*flat, window.calendar], -1)
        calendar = jnp.broadcast_to(
            window.calendar[:, :, None], (rows, steps, series, self.sizes.calendar)
        )
        for each in self._embedded(window.categories):  # [D, E]
            whole = jnp.broadcast_to(each[None, None], (rows, steps, *each.shape))
            if train:
                key, kept = self.make_rng("dropout"), (rows, 1, series, 1)
                known = self.devices.random_mask(key, 1 - HIDDEN, kept)
                whole = jnp.where(known, whole, 0.0)
            parts.append(whole)
        return jnp.concatenate([*parts, calendar], -1)

    def _embedded(self, categories: jax.Array) -> list[jax.Array]:
        """Vectors [D, E] of the series by itself and by its categories int [D, 1 + K].

        Zeros of what training did not have.
        """
        return [
            jnp.take(
                embed.embedding, categories[:, number], 0, mode="fill", fill_value=0
            )
            for number, embed in enumerate(self.embeddings)
        ]


def _numbers(bits: jax.Array) -> jax.Array:
    return bits.astype(jnp.float32)
