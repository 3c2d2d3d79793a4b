"""A vector autoregression that shrinks towards a walk."""

import numpy as np
from numpy.random import Generator

from forecast.baselines.history import levels_of
from forecast.baselines.walks import bootstrap_walk

_PENALTIES = 10.0 ** np.arange(-3, 5)  # a row


def vector_autoregression(
    history: np.ndarray,
    horizon: int,
    paths: int,
    rng: Generator,
    lags: int = 1,
    window: int = 1000,
) -> np.ndarray:
    """VAR(p) on returns by ridge regression, with bootstrapped rows of residuals.

        r_t = sum_k r_(t-k) A_k + e_t,  A = (X'X + l I)^-1 X'Y

    of standardised returns without their mean: there is no drift, and A = 0 is the
    bootstrap walk. The penalty l is the one of `_PENALTIES` (times the rows), or A = 0,
    that generalised cross-validation likes best. The residual of a row is that by
    weights of the others: with more series than rows those of the fit itself say
    nothing. No expected return counts as larger than the largest of its series in the
    window, so that paths stay finite.

    Source: Golub, Heath, Wahba, "Generalized Cross-Validation as a Method for Choosing
    a Good Ridge Parameter", Technometrics 21 (1979).

    Args and Returns as for `walks.gaussian_walk`; lags is p. Paths of the bootstrap
    walk where there are fewer than p + 3 returns.
    """
    levels = levels_of(history)
    rows = levels.returns(window)
    if len(rows) < lags + 3:
        return bootstrap_walk(history, horizon, paths, rng, window)
    rows = rows - rows.mean(0)
    scale = rows.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    rows = rows / scale
    past = lagged(rows, lags)  # [n, p * D]
    weights, residuals = ridge(past, rows[lags:])
    residuals = residuals - residuals.mean(0)
    largest = np.abs(rows).max(0)
    state = np.repeat(rows[None, : -lags - 1 : -1], paths, axis=0)  # [S, p, D]
    drawn = residuals[rng.integers(len(residuals), size=(horizon, paths))]
    returns = np.empty((paths, horizon, rows.shape[1]))
    for step in range(horizon):
        expected = state.reshape(paths, -1) @ weights
        returns[:, step] = np.clip(expected, -largest, largest) + drawn[step]
        state = np.concatenate([returns[:, step, None], state[:, :-1]], axis=1)
    return levels.walk(returns * scale)


def lagged(rows: np.ndarray, lags: int) -> np.ndarray:
    """The rows before each: of [n, D], [n - p, p * D], the latest first."""
    last = len(rows)
    return np.concatenate(
        [rows[lags - k : last - k] for k in range(1, lags + 1)], axis=1
    )


def ridge(inputs: np.ndarray, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression whose penalty generalised cross-validation chooses.

    With the singular vectors U of X, the shares f = s^2 / (s^2 + l) and the leverage
    h_i = sum_k f_k U_ik^2, GCV = n sum e^2 / (n - sum f)^2, and the residual of row i
    by weights of the others is e_i / (1 - h_i).

    Args:
      inputs: X [n, P].
      outputs: Y [n, D].

    Returns:
      Weights [P, D], 0 where no penalty does better than that; and residuals [n, D] of
      each row by the others.
    """
    count = len(inputs)
    left, values, right = np.linalg.svd(inputs, full_matrices=False)
    turned = left.T @ outputs  # [min(n, P), D]
    power, total = (turned**2).sum(1), (outputs**2).sum()
    best, chosen = total / count, np.inf
    for penalty in count * _PENALTIES:
        shares = values**2 / (values**2 + penalty)
        squares = max(total - (power * shares * (2 - shares)).sum(), 0.0)
        criterion = count * squares / (count - shares.sum()) ** 2
        if criterion < best:
            best, chosen = criterion, penalty
    divisor = values / (values**2 + chosen)
    fitted = left @ ((values * divisor)[:, None] * turned)
    leverage = (left**2) @ (values * divisor)
    residuals = (outputs - fitted) / (1 - leverage[:, None])
    return right.T @ (divisor[:, None] * turned), residuals
