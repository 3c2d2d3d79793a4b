"""From photos as they were taken to the pixels that a backbone sees."""

import dataclasses
import json
from typing import Literal

import numpy as np

from common.config.configs import check_bounds, knob
from common.data import images, transforms
from common.errors import UserError


@dataclasses.dataclass(frozen=True)
class PhotosConfig:
    """From the photo as it was taken to the pixels that the backbone sees."""

    fit: Literal["crop", "squeeze"] = knob(
        "crop",
        "scale the shorter side to photos.resize, so that the crop leaves out the ends"
        " of a long photo; or squeeze the whole photo into a square of that side",
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
        seen = "photos" if self.fit == "crop" else "whole photos, squeezed and"
        return f"{seen} cut to {self.crop} px"

    def describe_cut(self) -> str:
        """How a program that serves has to cut a photo, in words."""
        resized = (
            f"scale the shorter side to {self.resize} pixels"
            if self.fit == "crop"
            else f"scale to {self.resize} x {self.resize} pixels"
        )
        return (
            f"{resized} (bilinear, antialiased) and cut the {self.crop} x {self.crop}"
            " square in the middle; RGB"
        )


def cut_photos(
    encoded: list[bytes], config: PhotosConfig, rng: np.random.Generator | None
) -> tuple[np.ndarray, np.ndarray]:
    """Decodes and cuts the photos of a row.

    Args:
      encoded: photos as they lie in the file; the first `config.count` are used.
      config: sizes.
      rng: draws window and mirroring; None for the centre, unmirrored.

    Returns:
      photos uint8 [M, H, W, 3], zeros where the row has fewer; mask float32 [M].
    """
    photos = np.zeros((config.count, config.crop, config.crop, 3), np.uint8)
    mask = np.zeros(config.count, np.float32)
    size = (config.crop, config.crop)
    for place, data in enumerate(encoded[: config.count]):
        photo = images.decode(data, shrink_to=(config.resize, config.resize))
        if config.fit == "crop":
            photo = transforms.resize_shorter(photo, config.resize)
        else:
            photo = transforms.resize(photo, (config.resize, config.resize))
        if rng is not None and config.random_crop:
            photo = transforms.random_crop(photo, size, rng)
        else:
            photo = transforms.centre_crop(photo, size)
        if rng is not None and config.flip:
            photo = transforms.random_flip(photo, rng)
        photos[place], mask[place] = photo, 1.0
    return photos, mask
