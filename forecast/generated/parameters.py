"""What the generated panel `demand` is made of: knobs, switches and parameters.

Committed before the first training.
"""

import dataclasses

from common.config.configs import check_bounds, knob

HORIZON = 28  # days to forecast, and known ahead of the last one
START = "2021-01-04"  # a Monday
IN_CATEGORY = 15  # articles of a category, one after another

# Logarithm of the mean of a usual day: uniform between these, of a fast and a slow
# article. Three of ten articles of a category are slow.
FAST, SLOW = (1.5, 4.0), (-3.0, -0.5)
SLOW_PLACES = (3, 6, 9, 13)  # in the category
DISPERSION = 0.25  # variance of a count is mean + DISPERSION mean^2

# Shared by a category: logarithms of the seven days, and of a year's wave.
WEEKLY, YEARLY = 0.3, 0.4  # deviation, amplitude
YEAR = 365.25

# Weeks of promotion, each article by itself; the price is cut, and rises now and then.
PROMOTED = 0.1  # share of the weeks
DISCOUNT = 0.2
LIFT = 0.6  # gained in logarithm by the promotion, beside the lower price
ELASTICITY = -1.5  # of the logarithm of price over list price in the first week
RISES, RISE = 0.02, 0.05  # chance in a week, and by how much
LOSS = 0.4  # lost in logarithm for each neighbour on promotion

# Correlation of the normal scores of two articles, of one category or of two.
WITHIN, ACROSS = 0.7, 0.2


@dataclasses.dataclass(frozen=True)
class DemandConfig:
    """The built-in panel of daily sales, and a switch for each planted effect."""

    series: int = knob(150, "articles, 15 to a category", low=1, high=20_000)
    days: int = knob(1100, "days with sales", low=1, high=20_000)
    seed: int = knob(0, "names the set: same seed, same sales", low=0, high=2**31)
    dependence: bool = knob(True, "articles sell together, beyond what is known")
    promotions: bool = knob(True, "promotions and prices change sales")
    substitution: bool = knob(True, "a promotion takes from the neighbours")
    intermittency: bool = knob(True, "three of ten articles sell rarely")
    seasonality: bool = knob(True, "days of the week and of the year differ")

    def __post_init__(self):
        check_bounds(self)
