"""Effects that price statistics alone must find, and must lose with their switch."""

import numpy as np
import pytest

from pricer.generated import latents, values
from pricer.generated.parameters import BazaarConfig
from pricer.inputs.history import PriceHistory
from pricer.inputs.sales import Sales

SIZES = {"train_count": 12_000, "test_count": 4_000}
RECENT = 14  # days


def sample(config, split):
    items = latents.sample(config, config.numbers(split))
    return items, values.log_prices(config, items)


def advantage(better, worse):
    """By how many standard errors one list of errors is lower, squared and paired."""
    difference = worse**2 - better**2
    return difference.mean() / (difference.std() / np.sqrt(len(difference)))


def seller_advantage(config):
    """What the seller's statistics add to a linear fit on all others."""
    (train, known), (test, expected) = sample(config, "train"), sample(config, "test")
    keys = train.listed_category, train.seller
    history, seen = PriceHistory.fit(known, *keys, train.day, counts=False)
    new = history.features(
        test.listed_category,
        test.seller,
        test.day,
        sales=Sales(known, *keys, train.day),
        rows=len(expected),
    )
    errors = {}
    for name, columns in (("all", slice(0, 12)), ("without", slice(0, 8))):
        # The first sales of all have no history.
        fitted = np.isfinite(seen).all(1)
        inputs = np.c_[seen[fitted, columns], np.ones(fitted.sum())]
        weights = np.linalg.lstsq(inputs, known[fitted], rcond=None)[0]
        errors[name] = expected - np.c_[new[:, columns], np.ones(len(new))] @ weights
    return advantage(errors["all"], errors["without"])


def recent_advantage(config):
    """What the mean of the last two weeks is better than that of all sales."""
    (train, known), (_, expected) = sample(config, "train"), sample(config, "test")
    recent = known[train.day > train.day.max() - RECENT].mean()
    return advantage(expected - recent, expected - known.mean())


@pytest.mark.parametrize(
    "switch, measure", [("sellers", seller_advantage), ("drift", recent_advantage)]
)
def test_a_claim_of_the_statistics_falls_with_its_switch(switch, measure):
    on = BazaarConfig(**SIZES)
    off = BazaarConfig(**SIZES, **{switch: False})
    assert measure(on) > 4
    assert measure(off) < 2
