"""Silhouettes of the bazaar's 65 categories, made so that a shape tells the category."""

import dataclasses

import numpy as np

from pricer.generated import catalogue
from pricer.generated.garments import CLOTHES, SHOES
from pricer.generated.goods import LARGE, SMALL
from pricer.generated.outlines import Point


@dataclasses.dataclass(frozen=True)
class Silhouette:
    """The parts of one category, those further back first.

    Attributes:
      points: of all parts, one after another, in the item's size [M, 2].
      ends: where each part ends in `points` [K].
      tones: of the parts [K].
      mark: centre of the brand's mark [2].
      label: centre of the label [2].
    """

    points: np.ndarray
    ends: tuple[int, ...]
    tones: tuple[str, ...]
    mark: Point
    label: Point


_PARTS = CLOTHES | SHOES | SMALL | LARGE
# Where mark and label are, if not in the middle.
_MARK, _LABEL = (0.0, -0.08), (0.0, 0.2)
_LOW_SHOE = ((-0.24, 0.08), (0.16, 0.22))
_BOOT = ((-0.2, -0.04), (0.12, 0.22))
_PLACES: dict[str, tuple[Point, Point]] = {
    **dict.fromkeys(("ballerina", "strap shoe", "loafer", "oxford"), _LOW_SHOE),
    **dict.fromkeys(("tall boot", "work boot", "rain boot", "ankle boot"), _BOOT),
    **dict.fromkeys(("trainer", "high-top", "skate"), ((-0.24, 0.06), (0.16, 0.24))),
    "high heel": ((-0.22, 0.04), (0.2, 0.28)),
    "sandal": ((-0.26, 0.0), (0.2, 0.2)),
    "clog": ((0.14, 0.06), (0.1, 0.3)),
    "camera": ((-0.26, 0.02), (-0.24, 0.26)),
    "headphones": ((0.0, 0.06), (0.0, 0.3)),
    "game controller": ((0.0, -0.06), (0.0, 0.2)),
    "skateboard": ((0.0, 0.02), (0.0, 0.28)),
    "rattle": ((0.0, -0.18), (0.0, 0.08)),
    "teddy bear": ((0.0, 0.04), (0.0, 0.28)),
    "microwave": ((-0.12, -0.06), (-0.12, 0.2)),
    "bib": ((0.0, 0.04), (0.0, 0.3)),
    "washing machine": ((0.0, 0.04), (0.0, 0.3)),
}


def _silhouette(name: str) -> Silhouette:
    tones, points = zip(*_PARTS[name], strict=True)
    mark, label = _PLACES.get(name, (_MARK, _LABEL))
    ends = np.cumsum([len(part) for part in points]).tolist()
    return Silhouette(np.concatenate(points), tuple(ends), tones, mark, label)


SILHOUETTES = tuple(_silhouette(name) for name in catalogue.CATEGORY.names)
