"""Crops and sizes of decoded photos; the same rng gives the same picture."""

import numpy as np
from PIL import Image


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes with antialiasing (bilinear over the area of the new pixel).

    Args:
      image: uint8 [H, W, 3].
      size: (height, width) in pixels.

    Returns:
      uint8 [height, width, 3]; the image itself where it has that size.
    """
    if image.shape[:2] == tuple(size):
        return image
    picture = Image.fromarray(image)
    return np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR))


def resize_shorter(image: np.ndarray, pixels: int) -> np.ndarray:
    """Resizes so that the shorter side has `pixels`; the shape is kept.

    Args:
      image: uint8 [H, W, 3].
      pixels: length of the shorter side.

    Returns:
      uint8 [H', W', 3] with min(H', W') == pixels.
    """
    height, width = image.shape[:2]
    scale = pixels / min(height, width)
    size = (max(round(height * scale), pixels), max(round(width * scale), pixels))
    return resize(image, size)


def resize_whole(image: np.ndarray, pixels: int, ground: int = 127) -> np.ndarray:
    """Resizes so that the longer side has `pixels`, in the middle of a grey square.

    Args:
      image: uint8 [H, W, 3].
      pixels: side of the square.
      ground: value around the image.

    Returns:
      uint8 [pixels, pixels, 3].
    """
    height, width = image.shape[:2]
    scale = pixels / max(height, width)
    size = (max(round(height * scale), 1), max(round(width * scale), 1))
    square = np.full((pixels, pixels, 3), ground, np.uint8)
    top, left = ((pixels - side) // 2 for side in size)
    square[top : top + size[0], left : left + size[1]] = resize(image, size)
    return square


def random_crop(
    image: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Cuts a window at a uniformly drawn place.

    Args:
      image: [H, W, C], at least `size`.
      size: (height, width) of the window.
      rng: drawn from twice.

    Returns:
      [height, width, C], a view.

    Raises:
      ValueError: for an image smaller than the window.
    """
    spare = _spare(image, size)
    top, left = (int(rng.integers(s + 1)) for s in spare)
    return image[top : top + size[0], left : left + size[1]]


def centre_crop(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cuts the window in the middle, the upper left one of two equal ones.

    Args and Raises as `random_crop`.
    """
    top, left = (s // 2 for s in _spare(image, size))
    return image[top : top + size[0], left : left + size[1]]


def random_flip(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirrors left and right with probability 1/2.

    Args:
      image: [H, W, C].
      rng: drawn from once.

    Returns:
      [H, W, C]; the image itself where it is not mirrored.
    """
    if rng.random() >= 0.5:
        return image
    mirrored = np.empty(image.shape, image.dtype)
    for channel in range(image.shape[2]):  # three times as fast as all at once
        mirrored[..., channel] = image[:, ::-1, channel]
    return mirrored


def _spare(image: np.ndarray, size: tuple[int, int]) -> tuple[int, int]:
    height, width = image.shape[0] - size[0], image.shape[1] - size[1]
    if height < 0 or width < 0:
        raise ValueError(f"can't cut {tuple(size)} out of {image.shape[:2]}")
    return height, width
