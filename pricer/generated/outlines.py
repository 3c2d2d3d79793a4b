"""Polygons of which the outlines of the bazaar's items are made.

Lengths are shares of the item's size: x to the right and y downwards from its centre,
both from -0.5 to 0.5.
"""

import numpy as np

# Tones: the item's own colour, darker or lighter, and fixed colours.
BODY, SHADE, LIGHT = "body", "shade", "light"
FIXED = {
    "black": (38, 38, 42),
    "steel": (168, 172, 178),
    "screen": (150, 190, 214),
    "pale": (246, 242, 232),
}
Point = tuple[float, float]
Part = tuple[str, list[Point]]


def oval(
    x: float,
    y: float,
    half_width: float,
    half_height: float,
    tone: str = BODY,
    first: float = 0.0,
    last: float = 360.0,
) -> Part:
    """An ellipse, or its arc in degrees from the right through below, closed."""
    full = last - first == 360
    angles = np.deg2rad(np.linspace(first, last, 20, endpoint=not full))
    xs, ys = x + half_width * np.cos(angles), y + half_height * np.sin(angles)
    return tone, list(zip(xs.tolist(), ys.tolist(), strict=True))


def box(left: float, top: float, right: float, bottom: float, tone: str = BODY) -> Part:
    """A rectangle by its edges."""
    return tone, [(left, top), (right, top), (right, bottom), (left, bottom)]


def shape(*points: Point, tone: str = BODY) -> Part:
    """A polygon by its corners."""
    return tone, list(points)


def even(*points: Point, tone: str = BODY) -> Part:
    """A shape with a mirror axis, given by its right side from top to bottom."""
    return tone, [*points, *((-x, y) for x, y in reversed(points))]


def ring(x: float, y: float, radius: float, hole: float, tone: str = BODY) -> Part:
    """A ring with a slit, since a polygon has no hole."""
    angles = np.deg2rad(np.linspace(-90, 270, 21))
    outer = np.stack([np.cos(angles), np.sin(angles)], 1)
    points = np.concatenate([radius * outer, hole * outer[::-1]]) + (x, y)
    return tone, [(a, b) for a, b in points.tolist()]
