"""The picture under the brush: bytes, so that only touched pixels cost anything."""

import numpy as np


class Canvas:
    """A square picture that takes colours with a coverage.

    Attributes:
      size: its side in pixels.
      pixels: uint8 [S, S, 3].
    """

    def __init__(self, pixels: np.ndarray, light: np.ndarray):
        """Takes a background and the colour of the light [3] on what is laid over."""
        self.size = len(pixels)
        self.pixels = pixels
        self._flat = pixels.reshape(-1, 3)
        self._light = (255 * light).astype(np.float32)[:, None]

    def lay(self, where: np.ndarray, colour: np.ndarray, cover: np.ndarray) -> None:
        """Lays a colour over pixels, in place.

        Args:
          where: flat indices, each once [M].
          colour: of 0 (black) to 1 (white); channels first, which numpy broadcasts
            many times faster [3, M].
          cover: of 0 (leaves the pixel) to 1 (hides it) [M].
        """
        under = self._flat.take(where, axis=0).T.astype(np.float32, order="C")
        over = np.minimum(colour * self._light, 255)
        over -= under
        over *= cover
        under += over
        # Whole pixels of three bytes are written at once.
        mixed = np.ascontiguousarray((under + 0.5).astype(np.uint8).T)  # [M, 3]
        self._flat.view("V3").ravel()[where] = mixed.view("V3").ravel()


def coverage(distance: np.ndarray) -> np.ndarray:
    """How much of a pixel lies inside an edge, by the distance inside in pixels."""
    return np.minimum(np.maximum(distance + 0.5, 0), 1)


class Window:
    """The pixels of a canvas near a place, with coordinates turned about it.

    Attributes:
      x, y: coordinates from the place, turned, float32 [M].
      where: flat indices of the pixels in the canvas [M].
    """

    def __init__(
        self, size: int, centre: tuple[float, float], reach: float, turn: float
    ):
        """Takes lengths as shares of the side; the window is a square, cut off."""
        ranges = [
            np.arange(
                max(int((c - reach) * size), 0), min(int((c + reach) * size) + 1, size)
            )
            for c in centre
        ]
        dx, dy = (
            ((cells + 0.5) / size - c).astype(np.float32)
            for cells, c in zip(ranges, centre, strict=True)
        )
        cos, sin = float(np.cos(turn)), float(np.sin(turn))
        self.x = np.add.outer(sin * dy, cos * dx).ravel()
        self.y = np.add.outer(cos * dy, -sin * dx).ravel()
        self.where = np.add.outer(ranges[1] * size, ranges[0]).ravel()

    def keep(self, chosen: np.ndarray) -> None:
        """Drops all pixels but the chosen ones, a mask [M]."""
        kept = np.flatnonzero(chosen)
        self.x, self.y = self.x[kept], self.y[kept]
        self.where = self.where[kept]
