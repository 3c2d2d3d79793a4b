"""What a readable photo shows of an item beside its shape: mark, label, slip, wear."""

import numpy as np
from PIL import ImageDraw

from pricer.generated import catalogue
from pricer.generated.brush import Colour, Frame, box, oval, shade

_WHITE, _INK = (252, 252, 250), (30, 30, 34)
# A blank card has the mean colour of a printed one.
_PAPER, _PRINT, _BLANK = (250, 244, 214), (190, 60, 60), (235, 197, 175)
_BADGE, _FIGURE = 0.165, 0.12  # radii in the item's size
# Of each grade: which of the four bars of its code are up.
_CODES = ((1, 0, 0, 1), (1, 0, 1, 0), (0, 1, 0, 1), (0, 1, 1, 0))
# Signs of wear by condition, and random numbers for each.
WEAR_SIGNS = (0, 4, 9, 18)
WEAR_DRAWS = 5
_DENT = 80  # how much darker or brighter than the item a dent's sides are


def _bar(points: np.ndarray, angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


# Polygons of each figure; True cuts a hole. In units of _FIGURE. All have about the same
# area, so that none is told from its tint where the photo is blurred.
_FIGURE_PARTS: dict[str, list[tuple[np.ndarray, bool]]] = {
    "disc": [(oval(0, 0, 0.82, 0.82), False)],
    "ring": [(oval(0, 0, 1, 1), False), (oval(0, 0, 0.57, 0.57), True)],
    "plus": [(box(0, 0, 1, 0.32), False), (box(0, 0, 0.32, 1), False)],
    "triangle": [(np.array([(0, -1.1), (1.1, 0.82), (-1.1, 0.82)]), False)],
    "two rows": [(box(0, -0.5, 0.95, 0.28), False), (box(0, 0.5, 0.95, 0.28), False)],
    "two columns": [
        (box(-0.5, 0, 0.28, 0.95), False),
        (box(0.5, 0, 0.28, 0.95), False),
    ],
    "slash": [(_bar(box(0, 0, 1.15, 0.46), -np.pi / 4), False)],
    "arrow": [
        (
            np.array([(-1, -1), (0, 0), (1, -1), (1, 0), (0, 1.1), (-1, 0)]),
            False,
        )
    ],
}
_FIGURES = tuple(_FIGURE_PARTS[name] for name in catalogue.FIGURES)


def paint_mark(
    draw: ImageDraw.ImageDraw, frame: Frame, at: tuple[float, float], brand: int
) -> None:
    """A brand's figure in its colour on a white badge."""
    frame.polygon(draw, oval(*at, _BADGE + 0.015, _BADGE + 0.015), _INK)
    frame.polygon(draw, oval(*at, _BADGE, _BADGE), _WHITE)
    colour = catalogue.MARK_COLOURS[catalogue.BRAND_COLOUR[brand]]
    for points, hole in _FIGURES[catalogue.BRAND_FIGURE[brand]]:
        frame.polygon(draw, _FIGURE * points + at, _WHITE if hole else colour)


def paint_label(
    draw: ImageDraw.ImageDraw,
    frame: Frame,
    at: tuple[float, float],
    grade: int,
    pack: bool,
) -> None:
    """A white label with a code of bars for the grade and dots for how many are sold.

    Every code has two bars up and two down, and two dots have the area of the single
    one, so that a blurred label is the same for all.
    """
    x, y = at[0], at[1] + 0.06
    frame.polygon(draw, box(x, y, 0.215, 0.17), _INK)
    frame.polygon(draw, box(x, y, 0.2, 0.155), _WHITE)
    for slot, high in enumerate(_CODES[grade]):
        middle = y - 0.09 if high else y - 0.005
        frame.polygon(draw, box(x - 0.144 + 0.096 * slot, middle, 0.031, 0.036), _INK)
    for shift in (-0.085, 0.085) if pack else (0.0,):
        radius = 0.034 if pack else 0.048
        frame.polygon(draw, oval(x + shift, y + 0.088, radius, radius), _INK)


def paint_slip(draw: ImageDraw.ImageDraw, frame: Frame, receipt: bool) -> None:
    """A card at the item's upper right: a receipt, or a blank one of the same tint."""
    frame.polygon(draw, box(0.36, -0.4, 0.105, 0.135), _INK)
    frame.polygon(draw, box(0.36, -0.4, 0.09, 0.12), _PAPER if receipt else _BLANK)
    if receipt:
        for y in (-0.46, -0.40, -0.34):
            frame.polygon(draw, box(0.36, y, 0.065, 0.014), _PRINT)


def wear_colours(body: Colour) -> tuple[Colour, Colour]:
    """Colours of the dark and the bright sides of dents, as far from the item's."""
    dark = shade([max(0, value - _DENT) for value in body], 1)
    return dark, shade([value + _DENT for value in body], 1)


def paint_wear(
    dark: ImageDraw.ImageDraw,
    light: ImageDraw.ImageDraw,
    frame: Frame,
    condition: int,
    chances: np.ndarray,
) -> None:
    """Dents and scratches, the more the worse the condition; coverage on masks.

    Each has a dark and a bright side, so that wear neither darkens an item on the whole
    nor shows where the photo is blurred.

    Args:
      dark, light: of a mask each, for the two sides.
      frame: of the item.
      condition: index into CONDITION.
      chances: uniform numbers for the signs [18, WEAR_DRAWS].
    """
    for kind, x, y, length, angle in chances[: WEAR_SIGNS[condition]].tolist():
        x, y = 0.8 * x - 0.4, 0.9 * y - 0.45
        turn = np.pi * angle
        along = np.array([np.cos(turn), np.sin(turn)])
        across = np.array([-along[1], along[0]])
        if kind < 0.3:
            radius = 0.022 + 0.014 * length
            for draw, side in ((dark, 1), (light, -1)):
                spot = oval(x, y, radius, radius) + side * radius * across
                frame.polygon(draw, spot, 255)
        else:
            reach = (0.08 + 0.10 * length) * along
            for draw, side in ((dark, 1), (light, -1)):
                middle = (x, y) + 0.015 * side * across
                ends = np.stack([middle - reach, middle + reach])
                frame.line(draw, ends, 255, 0.028)
