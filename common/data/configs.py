"""Knobs of listings and their photos; no library of the data is needed."""

import dataclasses
import json
from typing import Literal

from common.config.configs import check_bounds, knob
from common.errors import UserError


@dataclasses.dataclass(frozen=True)
class ListingsConfig:
    """Where listings come from and how they are prepared."""

    path: str = knob("", "table (.csv, .csv.gz, .parquet) or a prepared directory")
    where: str = knob(
        "", "rows to use, COLUMN=VALUE|VALUE|...; the others are left out; empty = all"
    )
    images: str = knob("", "folder or tar archive of photos; empty for none")
    schema: str = knob("", "JSON file that describes the table; empty to infer it")
    cache: str = knob(".cache/listings", "folder for prepared data")
    split_fractions: tuple[float, float, float] = knob(
        (0.8, 0.1, 0.1), "shares of train, validation, test", low=0.0, high=1.0
    )
    split_seed: int = knob(0, "seed of the split", low=0)
    split_by_time: bool = knob(False, "train on the earliest rows, test on the latest")
    max_rejected_fraction: float = knob(
        0.05, "share of rows that may be unusable", low=0.0, high=1.0
    )
    bad_image: Literal["skip", "blank", "raise"] = knob(
        "skip",
        "unreadable photo: skip the row, blank (drop the photo, keep the row) or raise",
    )

    def __post_init__(self):
        check_bounds(self)

    def check_together(self) -> None:
        """Refuses shares of the splits that are none.

        Raises:
          UserError: naming the flag.
        """
        shares = self.split_fractions
        if not all(shares) or abs(sum(shares) - 1) > 1e-6:
            raise UserError(
                f"--data.split_fractions={','.join(f'{share:g}' for share in shares)}:"
                " give three shares above 0 that sum to 1"
            )

    def check_table(self) -> None:
        """Refuses what is said of a table where none is named.

        Raises:
          UserError: naming the flag.
        """
        for name in ("images", "schema", "where", "split_by_time"):
            if getattr(self, name) and not self.path:
                raise UserError(
                    f"--data.{name} needs --data.path=TABLE: without it the built-in"
                    " data are used"
                )


@dataclasses.dataclass(frozen=True)
class PhotosConfig:
    """From the photo as it was taken to the pixels that the backbone sees."""

    fit: Literal["crop", "squeeze", "whole"] = knob(
        "crop",
        "scale the shorter side to photos.resize, so that the crop leaves out the ends"
        " of a long photo; or squeeze the whole photo into a square of that side; or"
        " lay the whole photo, in its shape, in the middle of a grey one",
    )
    resize: int = knob(512, "side after resizing, pixels", low=8, high=8192)
    crop: int = knob(448, "side of the square that is cut out, pixels", low=8)
    random_crop: bool = knob(
        True, "train on windows drawn at random; evaluation always cuts the centre"
    )
    flip: bool = knob(True, "mirror half of the training photos left and right")
    count: int = knob(1, "photos of a listing that are used, pooled", low=1, high=64)

    def __post_init__(self):
        check_bounds(self)
        if self.crop > self.resize:
            raise UserError(
                f"photos.crop={self.crop} does not fit into photos.resize={self.resize}"
            )

    @property
    def key(self) -> str:
        """What features of photos depend on, as it stands in the key of a store."""
        return json.dumps([self.fit, self.resize, self.crop, self.count])

    def summary(self) -> str:
        """What a network saw, for the notes of a table."""
        seen = {
            "crop": "photos",
            "squeeze": "whole photos, squeezed and",
            "whole": "whole photos on grey,",
        }
        return f"{seen[self.fit]} cut to {self.crop} px"

    def describe_cut(self) -> str:
        """How a program that serves has to cut a photo, in words."""
        resized = {
            "crop": f"scale the shorter side to {self.resize} pixels",
            "squeeze": f"scale to {self.resize} x {self.resize} pixels",
            "whole": (
                f"scale the longer side to {self.resize} pixels, in the middle of a"
                " square of grey 127"
            ),
        }
        return (
            f"{resized[self.fit]} (bilinear, antialiased) and cut the {self.crop} x"
            f" {self.crop} square in the middle; RGB"
        )
