"""Knobs of interactions, items and their features; part of `recsys.config`."""

import dataclasses
from typing import Literal

from common.config.configs import check_bounds, knob
from common.errors import UserError
from recsys.generated.parameters import LEVELS

Uneven = Literal["refuse", "repeat"]  # paths of unequal depth
SplitKind = Literal["random", "per_user", "temporal_global", "leave_last_out"]
SplitChoice = Literal["auto", SplitKind]
Normalisation = Literal["none", "unit", "standardise"]  # of features


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Interactions, items and their features."""

    interactions: str = knob(
        "",
        "table of interactions (CSV, Parquet, or the folder of a data set that TFDS has"
        " prepared); empty: the built-in closet",
    )
    items: str = knob(
        "", "table of all items with their categories, as of the interactions"
    )
    features: str = knob(
        "", "features of the items: .npy file, or a folder of shards; empty: none"
    )
    user: str = knob("user", "column of the users in the interactions")
    item: str = knob("item", "column of the items, in both tables")
    time: str = knob("", "column of the times; a number or a date; empty: unknown")
    weight: str = knob(
        "",
        "column of what an interaction counts in training: how often, how long, a"
        " number above 0; a pair's weights are added up; empty: all count the same",
    )
    category: tuple[str, ...] = knob(
        ("level1", "level2", "level3"),
        "columns of the category, from the top; or one column with > between levels",
    )
    features_row: str = knob(
        "", "column with each item's row of the features; empty: in their order"
    )
    attributes: tuple[str, ...] = knob(
        (), "without features: columns of the items that become one-hot features"
    )
    numbers: tuple[str, ...] = knob(
        (), "without features: columns of numbers that become features in ten bins"
    )
    attribute_min_count: int = knob(
        20, "items that a value of an attribute must have", low=1
    )
    photo: str = knob(
        "", "column of the items with the names of their photos, for explain"
    )
    uneven: Uneven = knob(
        "refuse", "paths of unequal depth: an error, or their last category repeated"
    )
    max_rejected_fraction: float = knob(
        0.05, "share of rows that may be rejected", low=0.0, high=1.0
    )
    split: SplitChoice = knob(
        "auto",
        "of the interactions; auto: temporal_global where --data.time is given, else"
        " random, which is the paper's, 8:1:1",
    )
    split_fractions: tuple[float, float, float] = knob(
        (0.8, 0.1, 0.1),
        "shares of train, validation, test",
        low=0.0,
        high=1.0,
        formerly=("data.fractions",),
    )
    split_seed: int = knob(0, "of the split", low=0, high=2**32 - 1)
    normalisation: Normalisation = knob(
        "unit", "of the features: as they are, to length 1, or standardised"
    )
    cache: str = knob(".cache/closet", "folder of the generated closet's features")

    def __post_init__(self):
        check_bounds(self)
        if self.features and (self.attributes or self.numbers):
            raise UserError(
                "--data.features and --data.attributes or --data.numbers: give one of"
                " them, either makes the features"
            )

    def check_together(self) -> None:
        """Refuses what can't go together; see `configs.check_together`."""
        if self.interactions and not self.items:
            raise UserError("--data.interactions needs --data.items=TABLE beside it")
        if self.features_row and not self.features:
            raise UserError("--data.features_row needs --data.features=FILE")
        for name in ("features", "attributes", "numbers", "photo"):
            if getattr(self, name) and not self.items:
                raise UserError(f"--data.{name} needs --data.items=TABLE")
        by_time = self.split in ("temporal_global", "leave_last_out")
        if by_time and self.interactions and not self.time:
            raise UserError(
                f"--data.split={self.split} needs --data.time=COLUMN; or choose random"
                " or per_user"
            )
        shares = self.split_fractions
        if not all(shares) or abs(sum(shares) - 1) > 1e-6:
            raise UserError(
                f"--data.split_fractions={','.join(f'{share:g}' for share in shares)}:"
                " give three shares above 0 that sum to 1"
            )

    @property
    def split_kind(self) -> SplitKind:
        """How interactions are split: as told, or by whether their times are known."""
        if self.split != "auto":
            return self.split
        return "temporal_global" if self.interactions and self.time else "random"

    @property
    def levels(self) -> int | None:
        """Levels of the categories; None where only the table tells."""
        if not self.interactions:
            return len(LEVELS)
        return len(self.category) if len(self.category) > 1 else None


@dataclasses.dataclass(frozen=True)
class AtomicConfig:
    """How `--mode=import` reads RecBole's atomic files."""

    category: str = knob("categories", "field of the items with their category path")
    separator: Literal["blank", "comma"] = knob(
        "blank", "between levels of a category: a blank, or a comma and a blank"
    )
    rating_at_least: float | None = knob(
        None, "interactions with a lower rating are left out"
    )

    def __post_init__(self):
        check_bounds(self)
