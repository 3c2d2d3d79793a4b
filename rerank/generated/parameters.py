"""What the generated search results are made of: knobs, switches and parameters.

Two presets: `search`, where the order of a list matters, and `fusion`, where modalities,
context and clicks do. Committed before the first training.
"""

import dataclasses
from typing import Literal

from common.config.configs import check_bounds, knob

LENGTH = 8  # candidates of every list
BRANDS, CATEGORIES = 12, 3
WIDTH = 8  # of a vector of text or image
VECTOR_NOISE = 0.3  # of its numbers; those that tell something have deviation 1

# search: logit of a click, before neighbours, of an item with the numbers f0, f1 and a
# price, all standard normal, in a request with the number c, uniform over (-1, 1).
QUALITY, MATCH, PRICE, BIAS = 0.8, 0.5, -0.4, -1.5
SAME_STYLE = 1.5  # logit lost to an item of the same style d places before, over d
REACH = 3  # largest d
DEARER, DEAREST = 0.6, 1.5  # logit gained for each unit of price below the item before
RANKER_NOISE = 0.8  # on the logits, of the ranker that orders lists

# fusion: a visual query has v = 1 / (1 + exp(-SHARPNESS c)) near 1. The logit is BIAS +
# RELEVANCE ((1 - v) match of text + v match of image) + TASTE times a match of style.
SHARPNESS = 4.0
FUSION_BIAS, RELEVANCE, TASTE = -1.1, 2.0, 0.8
HISTORY = 6  # items taken before
HISTORY_NOISE = 0.5  # of their style about the taste, which is -1 or 1 by category
# Logit of a purchase, given a click: a share of that of the click, and less.
BOUGHT, BOUGHT_BIAS = 0.5, -1.35

# Chance that the item at place k, from 0, is looked at: log2(2 + k) to this power.
EXAMINATION = {"search": -1.0, "fusion": -0.25}
COUNTS = {"search": 60_000, "fusion": 4_000}  # lists to train on


@dataclasses.dataclass(frozen=True)
class SerpConfig:
    """The built-in search results, and a switch for each planted effect."""

    preset: Literal["search", "fusion"] = knob("search", "which of the two worlds")
    train_count: int = knob(
        0,
        "lists to train on; 0: 60,000 for search, 4,000 for fusion",
        low=0,
        high=1_000_000,
    )
    validation_count: int = knob(2_000, "lists to validate on", low=1, high=1_000_000)
    test_count: int = knob(2_000, "lists to test on", low=1, high=1_000_000)
    seed: int = knob(0, "names the set: same seed, same lists", low=0, high=2**31)
    list_effects: bool = knob(True, "search: neighbours in the list change clicks")
    random_share: float = knob(0.3, "search: lists in random order", low=0.0, high=1.0)
    scarce_purchases: bool = knob(True, "fusion: 7 % purchases; off: as many as clicks")
    context_tells: bool = knob(True, "fusion: the context tells which modality counts")
    image_tells: bool = knob(True, "fusion: the image tells something")
    history_tells: bool = knob(True, "fusion: the history tells what style is liked")
    missing_images: float = knob(
        0.15, "fusion: items without an image", low=0.0, high=0.95
    )

    products: str = knob(
        "",
        "folder of real products (products.csv.gz, images.tar.xz): items bear their names"
        " and photos, which reports show and networks do not see",
    )

    def __post_init__(self):
        check_bounds(self)

    def count(self, split: str) -> int:
        """Lists of a split."""
        return getattr(self, f"{split}_count") or COUNTS[self.preset]
