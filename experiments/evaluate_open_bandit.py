"""Off-policy estimates on the public Open Bandit Dataset, beside what really happened.

    python -m experiments.evaluate_open_bandit ../shared/data/open_bandit_fashion

A fashion shop showed items by two policies, at random and by Bernoulli Thompson sampling
(BTS), and logged which item stood at which of three places with which probability. The
click rate of each policy is told from the log of the other by clipped SNIPS, which
`rerank` reports of own logs with propensities, and from its own log.

Data: Saito et al., "Open Bandit Dataset and Pipeline", arXiv 2008.07146.
"""

import pathlib
import sys
from typing import Any

import numpy as np
import pandas as pd

from common.cli.app import mistakes_in_one_line
from common.errors import UserError
from common.reports import result_tables
from rerank import metrics

CAMPAIGNS, POLICIES = ("men", "women"), ("random", "bts")
RESAMPLES = 300  # of the bootstrap


def chances(log: pd.DataFrame, target: pd.DataFrame) -> np.ndarray:
    """How likely a policy shows the items of a log at their places: float64 [n].

    Read off its own log: the share of each item at each place.

    Args:
      log: n rows with item_id and position.
      target: the same, of the policy.
    """
    shown = target.groupby(["position", "item_id"]).size()
    shares = shown / shown.groupby("position").transform("sum")
    places = pd.MultiIndex.from_frame(log[["position", "item_id"]])
    found: np.ndarray = shares.reindex(places, fill_value=0.0).to_numpy()
    return found


def table(folder: pathlib.Path) -> list[dict[str, Any]]:
    """A row for each campaign and policy.

    Args:
      folder: with <policy>_<campaign>.csv.gz.
    """
    rows, rng = [], np.random.default_rng(0)
    for campaign in CAMPAIGNS:
        logs = {
            p: pd.read_csv(folder / f"{p}_{campaign}.csv.gz", index_col=0)
            for p in POLICIES
        }
        for policy, other in (POLICIES, POLICIES[::-1]):
            log, own = logs[other], logs[policy]["click"]
            columns = (
                chances(log, logs[policy]),
                log["click"],
                log["propensity_score"],
            )
            arrays = np.stack([np.asarray(c, np.float64) for c in columns])
            found = metrics.snips(*arrays)
            draws = (rng.integers(len(log), size=len(log)) for _ in range(RESAMPLES))
            values = [metrics.snips(*arrays[:, rows_of]).value for rows_of in draws]
            spread = float(np.std(values))
            rows.append(
                {
                    "campaign": campaign,
                    "policy": policy,
                    "told from the other's log": _percent(found.value, spread),
                    "effective rows": round(found.effective_size),
                    "clipped": f"{found.clipped:.1%}",
                    "in its own log": _percent(own.mean(), own.std() / len(own) ** 0.5),
                }
            )
    return rows


def _percent(mean: float, error: float) -> str:
    return f"{mean:.2%} ± {error:.2%}"


def main() -> None:
    """Reads the command line."""
    with mistakes_in_one_line():
        if len(sys.argv) != 2:
            raise UserError(f"give the folder: python -m {__spec__.name} FOLDER")
        folder = pathlib.Path(sys.argv[1])
        missing = [
            name
            for p in POLICIES
            for c in CAMPAIGNS
            if not (folder / (name := f"{p}_{c}.csv.gz")).is_file()
        ]
        if missing:
            raise UserError(f"{folder}: no file {', '.join(missing)}")
        print(result_tables.to_markdown(table(folder)))


if __name__ == "__main__":
    main()
