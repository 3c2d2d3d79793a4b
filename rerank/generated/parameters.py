"""What the generated search results are made of: knobs and switches.

Two presets: `search`, where the order of a list matters, and `fusion`, where modalities,
context and clicks do. Committed before the first training.
"""

import dataclasses
from typing import Literal

from common.config.configs import check_bounds, knob


@dataclasses.dataclass(frozen=True)
class SerpConfig:
    """The built-in search results, and a switch for each planted effect."""

    preset: Literal["search", "fusion"] = knob("search", "which of the two worlds")
    train_count: int = knob(60_000, "lists to train on", low=1, high=1_000_000)
    validation_count: int = knob(2_000, "lists to validate on", low=1, high=1_000_000)
    test_count: int = knob(2_000, "lists to test on", low=1, high=1_000_000)
    seed: int = knob(0, "names the set: same seed, same lists", low=0, high=2**31)
    list_effects: bool = knob(True, "search: places and neighbours change clicks")
    random_share: float = knob(0.3, "search: lists in random order", low=0.0, high=1.0)
    scarce_purchases: bool = knob(True, "fusion: 7 % purchases; off: as many as clicks")
    context_tells: bool = knob(True, "fusion: the context tells which modality counts")
    image_tells: bool = knob(True, "fusion: the image tells something")
    missing_images: float = knob(
        0.15, "fusion: items without an image", low=0.0, high=0.95
    )

    def __post_init__(self):
        check_bounds(self)
