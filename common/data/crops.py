"""From photos as they were taken to the pixels that a backbone sees."""

from typing import TYPE_CHECKING

import numpy as np

from common.data.images import decode
from common.data.transforms import (
    centre_crop,
    random_crop,
    random_flip,
    resize,
    resize_shorter,
    resize_whole,
)

if TYPE_CHECKING:
    from common.data.configs import PhotosConfig


def cut_photos(
    encoded: list[bytes], config: "PhotosConfig", rng: np.random.Generator | None
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
        photo = decode(data, shrink_to=(config.resize, config.resize))
        if config.fit == "crop":
            photo = resize_shorter(photo, config.resize)
        elif config.fit == "whole":
            photo = resize_whole(photo, config.resize)
        else:
            photo = resize(photo, (config.resize, config.resize))
        if rng is not None and config.random_crop:
            photo = random_crop(photo, size, rng)
        else:
            photo = centre_crop(photo, size)
        if rng is not None and config.flip:
            photo = random_flip(photo, rng)
        photos[place], mask[place] = photo, 1.0
    return photos, mask
