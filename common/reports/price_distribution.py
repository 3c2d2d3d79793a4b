"""One predictive distribution of the price: zones, price and interval are read off it.

A network names zones by votes and the price by a number; both are pooled log-linearly.
Zone j lies between the log prices e_(j-1) and e_j (without end at both ends) and has

    p_j  proportional to  exp(a s_j) m_j^b,    m_j = G(t_j) - G(t_(j-1)),
    t_j = (e_j - mu) / sigma,

with the votes s_j, the price mu that the network names, and G the distribution function
of Student's t with 4 degrees of freedom, whose quantiles have a closed form. Inside its
zone the density is that of the t, cut to the zone. So b = 0 gives the softmax of the
votes, and a = 0, b = 1 gives the t.

The formulas take NumPy's arrays or JAX's (`xp`), so that an exported program does what
is done here on the host. No difference of nearly equal numbers occurs: float32 is
enough.
"""

import dataclasses
from typing import Any

import numpy as np
from scipy import optimize

Array = Any  # of NumPy or JAX

# Stands for infinity, which would make NaN: beyond it lies less than float32 can hold.
_FAR = 1e9
_SCALES = (1e-3, 1e2)  # of the t that a fit starts from, in log price
_ENOUGH = 20_000  # rows for three numbers
_RATIOS = (1e-2, 1e1)  # of the fitted scale to that


def mass_between(low: Array, high: Array, xp: Any = np) -> Array:
    """G(high) - G(low) of Student's t with 4 degrees of freedom, without cancellation.

    With s = t / sqrt(t^2 + 4), which is 1 - c^2 below the root, G(t) = 1/2 + 3/4 s -
    1/4 s^3, so that G(t_2) - G(t_1) = (s_2 - s_1) (3 (c_1^2 + c_2^2) + (s_2 - s_1)^2) / 8.

    Args:
      low: [...] may be -inf.
      high: [...] at or above `low`, may be inf.
      xp: numpy or jax.numpy.
    """
    low, high = xp.clip(low, -_FAR, _FAR), xp.clip(high, -_FAR, _FAR)
    root_low, root_high = xp.sqrt(low**2 + 4), xp.sqrt(high**2 + 4)
    same = low * high > 0  # on one side a difference of near numbers would remain
    sides = high * root_low + low * root_high
    apart = xp.where(
        same,
        4 * (high - low) * (low + high) / xp.where(same, sides, 1.0),
        high * root_low - low * root_high,
    ) / (root_low * root_high)
    squares = 4 / root_low**2 + 4 / root_high**2
    return apart * (3 * squares + apart**2) / 8


def t_quantile(below: Array, above: Array, xp: Any = np) -> Array:
    """The t with G(t) = below and 1 - G(t) = above, for 4 degrees of freedom.

    With alpha = 4 below above and q = cos(arccos(sqrt(alpha)) / 3) / sqrt(alpha),
    t = ±2 sqrt(q - 1) (Shaw, Sampling Student's T distribution, 2006), written with
    y = arccos(sqrt(alpha)) such that both tails and the middle keep their digits.

    Args:
      below: [...] mass below t, above 0.
      above: [...] mass above t, above 0; both sum to 1.
      xp: numpy or jax.numpy.
    """
    cosine = 2 * xp.sqrt(below * above)
    angle = xp.arctan2(abs(above - below), cosine)
    less_one = 2 * xp.sin(2 * angle / 3) * xp.sin(angle / 3) / cosine
    return xp.sign(below - above) * 2 * xp.sqrt(less_one)


@dataclasses.dataclass(frozen=True, eq=False)
class PriceDistribution:
    """The distribution of the prices of N items over J zones.

    Attributes:
      edges: [J - 1] prices.
      centres: [N] mu, natural logs.
      scale: sigma, in log price.
      log_probabilities: [N, J] of the zones.
      xp: numpy or jax.numpy.
    """

    edges: Array
    centres: Array
    scale: float
    log_probabilities: Array
    xp: Any = np

    def rows(self, index: Any) -> "PriceDistribution":
        """The distribution of some of the items."""
        return dataclasses.replace(
            self,
            centres=self.centres[index],
            log_probabilities=self.log_probabilities[index],
        )

    @property
    def probabilities(self) -> Array:
        """p [N, J] of the zones."""
        return self.xp.exp(self.log_probabilities)

    def masses(self) -> Array:
        """m [N, J]: what the t alone has in each zone."""
        ends = self._all_ends()
        return self._mass(ends[:, :-1], ends[:, 1:])

    def log_density(self, prices: Array) -> Array:
        """Log density [N] of the log price at the prices [N]."""
        xp, zones = self.xp, self._labels(prices)
        t = self._standardise(prices)
        density = np.log(3 / 8) - 2.5 * xp.log1p(t**2 / 4) - np.log(self.scale)
        mass = xp.log(self.masses())
        return density + self._at(self.log_probabilities - mass, zones)

    def cdf(self, prices: Array) -> Array:
        """Share of the distribution [N] at or below the prices [N]."""
        xp, zones = self.xp, self._labels(prices)
        low, high = self._ends(zones)
        t = xp.clip(self._standardise(prices), low, high)
        inside = mass_between(low, t, xp) / self._mass(low, high)
        return self._before(zones) + inside * self._at(self.probabilities, zones)

    def price(self, share: float) -> Array:
        """Prices [N] that the share, in (0, 1), of the distribution lies below.

        Each lies in the zone within which the probabilities, added up from the cheapest
        zone, pass the share.
        """
        xp, probabilities = self.xp, self.probabilities
        zones = (xp.cumsum(probabilities, 1)[:, :-1] <= share).sum(1)
        low, high = self._ends(zones)
        mass, here = self._mass(low, high), self._at(probabilities, zones)
        if share <= 0.5:  # added up from the nearer end, which keeps the digits
            inside = xp.clip((share - self._before(zones)) / here, 0.0, 1.0)
            rest = 1 - inside
        else:
            after = xp.cumsum(probabilities[:, ::-1], 1)[:, ::-1] - probabilities
            rest = xp.clip((1 - share - self._at(after, zones)) / here, 0.0, 1.0)
            inside = 1 - rest
        below = mass_between(-_FAR, low, xp) + inside * mass
        above = mass_between(high, _FAR, xp) + rest * mass
        t = xp.clip(t_quantile(below, above, xp), low, high)
        # Rounding must not carry a price over the edge of its zone, which is open above.
        ends = xp.concatenate([xp.zeros(1), self.edges, xp.full(1, np.inf)])
        top = xp.nextafter(ends[zones + 1], ends[zones])
        return xp.clip(xp.exp(self.centres + self.scale * t), ends[zones], top)

    def interval(self, radius: float) -> tuple[Array, Array]:
        """Prices (low [N], high [N]) at the shares 1/2 ± radius.

        They are 0 and infinity for a radius of 1/2 or more.
        """
        if radius < 0.5:
            return self.price(0.5 - radius), self.price(0.5 + radius)
        return 0 * self.centres, 0 * self.centres + np.inf

    def _labels(self, prices: Array) -> Array:
        return self.xp.searchsorted(self.edges, prices, side="right")

    def _standardise(self, prices: Array) -> Array:
        """t [N] of the prices [N]."""
        return (self.xp.log(prices) - self.centres) / self.scale

    def _ends(self, zones: Array) -> tuple[Array, Array]:
        """(t_(j-1), t_j), [N] each, of the zones [N]."""
        ends = self._all_ends()
        return self._at(ends, zones), self._at(ends, zones + 1)

    def _all_ends(self) -> Array:
        """t [N, J + 1] of the bounds of all zones."""
        xp = self.xp
        gaps = xp.log(self.edges)[None] - self.centres[:, None]
        inner = gaps / self.scale  # [N, J - 1]
        end = xp.full_like(inner[:, :1], _FAR)
        return xp.concatenate([-end, inner, end], 1)

    def _mass(self, low: Array, high: Array) -> Array:
        mass = mass_between(low, high, self.xp)
        return self.xp.maximum(mass, np.finfo(np.float32).tiny)

    def _before(self, zones: Array) -> Array:
        """Sum [N] of the probabilities below the zones [N]."""
        sums = self.xp.cumsum(self.probabilities, 1)
        return self._at(sums, zones) - self._at(self.probabilities, zones)

    def _at(self, table: Array, zones: Array) -> Array:
        """table[n, zones[n]], [N]."""
        return self.xp.take_along_axis(table, zones[:, None], 1)[:, 0]


@dataclasses.dataclass(frozen=True)
class Pooling:
    """How much votes and named price count; see the module.

    Attributes:
      votes: a, the inverse temperature of the votes.
      price: b.
      scale: sigma, in log price.
    """

    votes: float
    price: float
    scale: float

    def distribution(
        self, scores: Array, centres: Array, edges: Array, xp: Any = np
    ) -> PriceDistribution:
        """Pools votes and named prices; see the module.

        Args:
          scores: [N, J] votes.
          centres: [N] named prices, natural logs.
          edges: [J - 1] prices between the zones.
          xp: numpy, which computes in float64, or jax.numpy.
        """
        dtype = np.float64 if xp is np else scores.dtype
        scores, centres, edges = (
            xp.asarray(x, dtype) for x in (scores, centres, edges)
        )
        bare = PriceDistribution(edges, centres, self.scale, scores, xp)
        logits = self.votes * scores + self.price * xp.log(bare.masses())
        top = logits.max(1, keepdims=True)
        sums = xp.log(xp.exp(logits - top).sum(1, keepdims=True)) + top
        return dataclasses.replace(bare, log_probabilities=logits - sums)

    @classmethod
    def fit(
        cls,
        scores: np.ndarray,
        centres: np.ndarray,
        prices: np.ndarray,
        edges: Array,
        *,
        pools_price: bool = True,
    ) -> "Pooling":
        """Finds the weights and the scale under which the prices are likeliest.

        A ridge around a = b = 1 and the spread of the rows weighs as much as one row:
        it keeps a fit to very few rows sober. Of very many rows some are enough.

        Args:
          scores: [N, J] votes.
          centres: [N] named prices, natural logs.
          prices: [N] that were paid.
          edges: [J - 1] prices between the zones.
          pools_price: False holds b at 0.
        """
        some = slice(None, None, 1 + len(prices) // _ENOUGH)
        scores, centres, prices = scores[some], centres[some], prices[some]
        spread = np.std(np.log(prices) - centres) if len(prices) > 1 else 0.0
        spread = float(np.clip(spread, *_SCALES)) if spread > 0 else 1.0

        def loss(point: np.ndarray) -> float:
            votes, price, log_ratio = point
            pooling = cls(votes, price, spread * np.exp(log_ratio))
            known = pooling.distribution(scores, centres, edges)
            ridge = (votes - 1) ** 2 + (price - pools_price) ** 2 + log_ratio**2
            return ridge / 2 - known.log_density(prices).sum()

        bounds = [(0, 1e3), (0, 1e3 * pools_price), tuple(np.log(_RATIOS))]
        start = np.array([1.0, float(pools_price), 0.0])
        found = optimize.minimize(loss, start, method="L-BFGS-B", bounds=bounds)
        votes, price, log_ratio = found.x.tolist()
        return cls(votes, price, spread * float(np.exp(log_ratio)))
