"""What the baselines make of a history: values without gaps, and returns."""

from typing import NamedTuple

import numpy as np
import pandas as pd

_LARGEST = 700.0  # exponent; exp(710) is no float64


def fill(history: np.ndarray) -> np.ndarray:
    """Values without gaps: carried forward, leading ones back, 0 where there is none.

    Args:
      history: [T, D], what is not finite counts as not observed.

    Returns:
      float64 [max(T, 1), D].
    """
    values = np.asarray(history, np.float64)
    if not len(values):
        return np.zeros((1, values.shape[1]))
    values = np.where(np.isfinite(values), values, np.nan)
    return pd.DataFrame(values).ffill().bfill().fillna(0.0).to_numpy()


class Levels(NamedTuple):
    """Values as logarithms where a series is positive throughout, else as shares.

    Attributes:
      values: float64 [T, D].
      logged: bool [D].
      units: float64 [D] of those not logged: a power of two, of the size of the largest,
        so that squares of huge values don't overflow and nothing is rounded.
    """

    values: np.ndarray
    logged: np.ndarray
    units: np.ndarray

    def returns(self, window: int) -> np.ndarray:
        """The last differences, [at most window, D]; a row of 0 where there is none."""
        if len(self.values) < 2:
            return np.zeros_like(self.values)
        return np.diff(self.values[-window - 1 :], axis=0)

    def walk(self, returns: np.ndarray) -> np.ndarray:
        """Paths [S, H, D] that go on from the last values by returns [S, H, D]."""
        return self.restore(self.values[-1] + np.cumsum(returns, axis=1))

    def restore(self, levels: np.ndarray) -> np.ndarray:
        """The values [..., D] of levels [..., D]."""
        powers = np.exp(np.clip(levels, -_LARGEST, _LARGEST))
        return np.where(self.logged, powers, levels * self.units)


def levels_of(history: np.ndarray, logs: bool = True) -> Levels:
    """Levels of a history [T, D] without its gaps; all as shares without `logs`."""
    values = fill(history)
    logged = np.greater(values, 0).all(axis=0) & logs
    _, exponents = np.frexp(np.abs(values).max(0))
    units = np.ldexp(1.0, exponents)
    shares = values / units
    return Levels(np.log(values, out=shares, where=logged), logged, units)
