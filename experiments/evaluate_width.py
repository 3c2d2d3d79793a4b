"""The width model on the exchange rates of the published tables, beside walks.

    python -m experiments.evaluate_width ../shared/data/time_series/exchange_rate.txt.gz

CRPS and CRPS_sum x 10^4, 100 paths, mean of 5 seeds; differences with 95 % intervals over
windows. "factor 1" has nothing learned. --before: 40 windows before the test's.
"""

import argparse
from collections.abc import Iterator
from functools import partial

import jax
import numpy as np

from common.cli.app import mistakes_in_one_line
from common.reports import claims, result_tables
from forecast import metrics, width
from forecast.baselines import bootstrap_walk, gaussian_walk
from forecast.panel.backtest import Backtest, make_backtest
from forecast.panel.benchmarks import read_exchange

SEEDS, PATHS, HORIZON, VALIDATION = 5, 100, 30, 600
SCORES = {"CRPS": metrics.crps, "CRPS_sum": metrics.crps_sum}
WALKS = {"Gaussian walk": gaussian_walk, "bootstrap walk": bootstrap_walk}


def measure(backtest: Backtest) -> dict[int, dict[str, np.ndarray]]:
    """What each of the first 5 and of all W windows adds to scores: [scores, W]."""
    histories = [backtest.history(w).values for w in range(len(backtest.starts))]
    found: dict[int, dict[str, np.ndarray]] = {5: {}, len(histories): {}}
    for seed in range(SEEDS):
        fitted = width.fit(backtest.train.values, HORIZON, VALIDATION, seed)
        losses = fitted.validation / fitted.validation[0]
        print(seed, fitted.steps[losses.argmin(0)], losses.min(0).round(4))
        plain = fitted._replace(params=jax.tree.map(np.zeros_like, fitted.params))
        learned = {"factor 1": plain, "width": fitted}
        models = WALKS | {k: partial(width.simulate, v) for k, v in learned.items()}
        for name, simulate in models.items():
            paths = [
                simulate(each, HORIZON, PATHS, np.random.default_rng([seed, w]))
                for w, each in enumerate(histories)
            ]
            for n, means in found.items():
                scores = (f(paths[:n], backtest.targets[:n]) for f in SCORES.values())
                windows = np.stack([score.by_window for score in scores])
                means[name] = means.get(name, 0.0) + 1e4 * windows / SEEDS
    return found


def rows(windows: int, means: dict[str, np.ndarray]) -> Iterator[dict[str, str]]:
    """A row for each model, with differences to those before it."""
    for number, (name, scores) in enumerate(means.items()):
        row = {"windows": str(windows), "model": name}
        row |= dict(zip(SCORES, map("{:.1f}".format, scores.mean(1)), strict=True))
        for other in list(means)[:number]:
            for key, *pair in zip(SCORES, scores, means[other], strict=True):
                v = claims.verdict_over_windows("", *pair)
                cell = f"{v.difference:+.1f} [{v.low:+.1f}, {v.high:+.1f}]"
                row[f"{key} - {other}"] = cell
        yield row


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments.evaluate_width")
    parser.add_argument("file", help="exchange_rate.txt")
    parser.add_argument("--before", action="store_true", help="not the test")
    options = parser.parse_args()
    with mistakes_in_one_line():
        backtest = read_exchange(options.file, 50)
        if options.before:
            backtest = make_backtest(backtest.train, HORIZON, 40)
        for windows, means in measure(backtest).items():
            print(result_tables.to_markdown(list(rows(windows, means))))


if __name__ == "__main__":
    main()
