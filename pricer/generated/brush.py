"""Places drawings in a photo: a frame of coordinates, colours and fabrics."""

import functools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from pricer.generated import catalogue

Colour = tuple[int, int, int]


class Frame:
    """Coordinates about a thing's centre: x to the right, y downwards, turned.

    Attributes:
      size: of the thing in pixels; the unit of its coordinates.
    """

    def __init__(self, x: float, y: float, size: float, turn: float):
        """Takes the centre in pixels and the turn in radians."""
        cos, sin = np.cos(turn), np.sin(turn)
        self.size = size
        self._axes = size * np.array([[cos, sin], [-sin, cos]])
        self._centre = np.array([x, y])

    def place(self, points: np.ndarray) -> np.ndarray:
        """Pixels of points given in the thing's coordinates [M, 2]."""
        return points @ self._axes + self._centre

    def polygon(
        self, draw: ImageDraw.ImageDraw, points: np.ndarray, fill: Colour | int
    ) -> None:
        """Fills a polygon given in the thing's coordinates [M, 2]."""
        draw.polygon(self.place(points).ravel().tolist(), fill=fill)

    def line(
        self,
        draw: ImageDraw.ImageDraw,
        points: np.ndarray,
        fill: Colour | int,
        width: float,
    ) -> None:
        """Draws a line through points [M, 2]; its width in the same unit."""
        pixels = max(1, round(width * self.size))
        draw.line(self.place(points).ravel().tolist(), fill=fill, width=pixels)


def box(x: float, y: float, half_width: float, half_height: float) -> np.ndarray:
    """Corners of a rectangle by its centre [4, 2]."""
    return np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (
        half_width,
        half_height,
    ) + (
        x,
        y,
    )


_CIRCLE = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_UNIT_CIRCLE = np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)], axis=1)  # [20, 2]


def oval(x: float, y: float, half_width: float, half_height: float) -> np.ndarray:
    """Points on an ellipse [20, 2]."""
    return _UNIT_CIRCLE * (half_width, half_height) + (x, y)


def shade(colour: Sequence[float], factor: float) -> Colour:
    """A colour made darker (factor below 1) or lighter (above 1)."""
    red, green, blue = (min(255, int(factor * value)) for value in colour)
    return red, green, blue


def is_dark(colour: Sequence[float]) -> bool:
    """Whether light details show better on a colour than dark ones."""
    return sum(colour) < 3 * 75


@functools.lru_cache(maxsize=256)
def fabric(pattern: int, period: int, side: int) -> Image.Image:
    """The threads of a pattern, as coverage.

    Args:
      pattern: index into PATTERNS.
      period: of the pattern, pixels.
      side: of the square picture, pixels.
    """
    along = (np.arange(side) % period) / period
    rows, columns = along[:, None], along[None, :]
    name = catalogue.PATTERNS[pattern]
    if name == "stripes":
        threads = (rows < 0.45) & (columns >= 0)
    elif name == "diagonals":
        threads = (rows + columns) % 1 < 0.45
    elif name == "dots":
        threads = (rows - 0.5) ** 2 + (columns - 0.5) ** 2 < 0.3**2
    elif name == "checks":
        threads = (rows < 0.3) | (columns < 0.3)
    else:
        threads = np.zeros((side, side), bool)
    return Image.fromarray(np.where(threads, 255, 0).astype(np.uint8))
