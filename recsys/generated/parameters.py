"""Parameters of the generated closet: sizes, switches and how strong each effect is.

They are fixed before any model is trained on the closet. Whoever changes what a
(seed, id) yields, here or in another `closet_*` module, raises GENERATOR_VERSION.
"""

import dataclasses
from typing import Literal

from common.config.configs import check_bounds, knob
from common.errors import UserError

GENERATOR_VERSION = 1

# 1st-level categories with their number of 2nd-level ones: 149 in all.
TOPS = {
    "artworks": 9,
    "beauty": 10,
    "books": 9,
    "electronics": 12,
    "handmade": 11,
    "home": 13,
    "kids": 13,
    "men": 14,
    "other": 7,
    "sports": 11,
    "toys": 10,
    "vintage": 12,
    "women": 18,
}
LEAVES = 1233  # 3rd-level categories
LEAST_LEAVES = 3  # of a 2nd-level category
# How frequent a 1st-level category is; for the paper's, its interactions in thousands.
TOP_WEIGHTS = {
    "artworks": 133.0,
    "beauty": 130.0,
    "books": 60.0,
    "electronics": 150.0,
    "handmade": 50.0,
    "home": 110.0,
    "kids": 118.0,
    "men": 331.0,
    "other": 40.0,
    "sports": 90.0,
    "toys": 120.0,
    "vintage": 70.0,
    "women": 532.0,
}
# How frequencies fall with the rank of a node among its siblings, 2nd and 3rd level.
RANK_POWERS = (0.8, 1.0)
LEAVES_POWER = 0.3  # and the number of leaves with the rank of their parent

# The 1st-level categories of each sub-dataset (section 4.1).
SUBSETS: dict[str, tuple[str, ...]] = {
    "men": ("men",),
    "women": ("women",),
    "kids": ("kids",),
    "mix": ("kids", "men", "women"),
    "artworks": ("artworks",),
    "whole": tuple(TOPS),
}
# Users, items and interactions: Table 1. It has no row for the whole, whose size here is
# what is made in half a minute.
TABLE_1 = {
    "men": (1_000, 212_487, 330_690),
    "women": (1_000, 267_597, 532_246),
    "kids": (1_000, 56_628, 117_554),
    "mix": (400, 200_731, 355_264),
    "artworks": (1_000, 82_320, 133_020),
    "whole": (2_000, 400_000, 700_000),
}
SMALL = (4, 16, 16)  # a small set is the paper's, divided by this

# Share of the users who do hardly anything, about one interaction each. With the rest
# log-uniform it gives, at the mean of Table 1, about as many users with a test item as
# the paper's tables were averaged over (391, 387, 185, 239 and 248; more for kids,
# where few users would otherwise hold most of the data).
IDLE = {
    "men": 0.61,
    "women": 0.62,
    "kids": 0.88,
    "mix": 0.31,
    "artworks": 0.82,
    "whole": 0.61,
}
# Spread of the log of how much interest an item finds, by its quality.
QUALITY_EFFECT = 0.6
MOST_TAKERS = 20
# Where items are not unique: mean number of users of one, and the most by the mean.
COMMON_MEAN = 30.0
MOST_COMMON = 3.0

# Time, in days: what is recorded, and how long a user hesitates on average.
FIRST_DAY = "2018-03-01"
DAYS = 184.0
MEAN_DELAY = 6.0
# Moments at which items are shown, each to users drawn for it.
MOMENTS = 1024
ONLINE = 0.9  # share of the users who look at a moment
MOST_CANDIDATES = 2048  # and about how many do at most
# By what angle preferences turn from the first day to the last, radians.
DRIFT_ANGLE = 1.0

# Standard deviations over users of what a user feels for an item, with the number of
# dimensions of the taste: for the three levels of its category, the look that photos
# show, and what they don't show.
LEVELS = ("top", "middle", "leaf")
PARTS = (*LEVELS, "look", "hidden")
SCALES = {"top": 1.5, "middle": 2.5, "leaf": 1.8, "look": 3.5, "hidden": 0.6}
DIMENSIONS = {"top": 4, "middle": 8, "leaf": 8, "look": 8, "hidden": 4}

# Photos: dimensions of what is neither look nor category, and shares of the variance of
# a feature within a leaf before it is cut off at 0.
CLUTTER_DIMENSIONS = 16
FEATURE_SHARES = {"look": 0.30, "quality": 0.04, "clutter": 0.46, "noise": 0.20}
# Variance between leaves, by level, with the variance within leaves as the unit.
SIGNATURE_DIMENSIONS = 24
SIGNATURE_SHARES = {"top": 0.20, "middle": 0.20, "leaf": 0.15}
# Mean and spread over features of what all photos share, in the same unit of spread.
FEATURE_MEAN = (0.4, 0.4)
FEATURE_NORM = 30.0
# Spread of the entries of the skew matrices that turn looks, by level.
TURNS = {"middle": 0.15, "leaf": 0.19}


@dataclasses.dataclass(frozen=True)
class Counts:
    """Sizes of a closet: users, items, and interactions as expected."""

    users: int
    items: int
    interactions: int


@dataclasses.dataclass(frozen=True)
class ClosetConfig:
    """The generated data set `closet`.

    The defaults are the paper's sub-dataset Men. The six switches remove one planted
    effect each and leave every other random draw as it was.
    """

    subset: Literal["men", "women", "kids", "mix", "artworks", "whole"] = knob(
        "men", "sub-dataset: the 1st-level categories, sizes and activity"
    )
    size: Literal["paper", "small"] = knob(
        "paper", "of Table 1, or a quarter of the users and 1/16 of the rest"
    )
    user_count: int | None = knob(
        None, "users, instead of the subset's", low=20, high=100_000
    )
    item_count: int | None = knob(
        None, "items, instead of the subset's", low=100, high=2**31 - 1
    )
    interaction_count: int | None = knob(
        None,
        "expected interactions, instead of the subset's",
        low=100,
        high=2**31 - 1,
    )
    feature_width: int = knob(2048, "features of a photo, F", low=32, high=8192)
    seed: int = knob(0, "names the set: same seed, same items", low=0, high=2**31)
    uniqueness: bool = knob(
        True, "effect: an item is there once, not for dozens of users"
    )
    hierarchy: bool = knob(
        True, "effect: what users need of a category holds for those below it"
    )
    visual_style: bool = knob(True, "effect: photos show the look that users like")
    leaf_style: bool = knob(True, "effect: a look shows differently in each leaf")
    user_side: bool = knob(
        True, "effect: users need different branches, and few are active"
    )
    drift: bool = knob(True, "effect: preferences turn over the months")

    def __post_init__(self):
        check_bounds(self)
        counts = self.counts()
        if counts.interactions < 1.05 * counts.items:
            raise UserError(
                f"ClosetConfig: {counts.interactions} interactions for {counts.items}"
                " items: give at least 1.05 per item, each has at least one user"
            )
        if self.uniqueness and counts.interactions > 4 * counts.items:
            raise UserError(
                f"ClosetConfig: {counts.interactions} interactions for {counts.items}"
                " items are no unique items: give at most 4 per item, or"
                " uniqueness=false"
            )
        if counts.interactions < 1.1 * counts.users:
            raise UserError(
                f"ClosetConfig: {counts.interactions} interactions for {counts.users}"
                " users: give at least 1.1 per user"
            )

    @property
    def tops(self) -> tuple[str, ...]:
        """1st-level categories."""
        return SUBSETS[self.subset]

    def counts(self) -> Counts:
        """Users, items and interactions; without `uniqueness` far fewer items."""
        table = TABLE_1[self.subset]
        divisors = SMALL if self.size == "small" else (1, 1, 1)
        own = (self.user_count, self.item_count, self.interaction_count)
        users, items, interactions = (
            there // by if mine is None else mine
            for mine, there, by in zip(own, table, divisors, strict=True)
        )
        if not self.uniqueness:
            mean = min(COMMON_MEAN, users / 10)
            items = max(1, min(items, round(interactions / mean)))
        return Counts(users, items, interactions)


@dataclasses.dataclass(frozen=True)
class SimulationConfig:
    """Users of a catalogue; a switch for each planted effect."""

    users: int = knob(1000, "users", low=20, high=100_000)
    takers: float = knob(2.0, "users of an item, on average", low=1.05, high=20.0)
    idle: float = knob(0.6, "share of users who do hardly anything", low=0.0, high=0.99)
    seed: int = knob(0, "names the users: same seed, same choices", low=0)
    hierarchy: bool = knob(
        True, "effect: what users need of a category holds for those below it"
    )
    looks: bool = knob(True, "effect: users like what photos show")

    def __post_init__(self):
        check_bounds(self)
