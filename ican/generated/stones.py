"""Draws one set stone: its cut and colour, and how vivid or dull it looks."""

import numpy as np

from ican.generated.canvas import Canvas, Window, coverage

# By family, in the catalogue's order.
_STONE_RGB = np.array(
    [
        (0.93, 0.96, 1.00),  # white
        (0.95, 0.90, 0.84),  # milky
        (0.80, 0.04, 0.10),  # red
        (0.98, 0.45, 0.62),  # pink
        (0.98, 0.72, 0.08),  # yellow
        (0.05, 0.58, 0.26),  # green
        (0.25, 0.80, 0.88),  # cyan
        (0.08, 0.17, 0.72),  # blue
        (0.48, 0.14, 0.66),  # purple
    ],
    np.float32,
)
_WHITE, _MILKY = 0, 1
_DULL = np.array((0.62, 0.60, 0.56), np.float32)
# Half width, half height and roundness of the outline: round, oval, cushion, square.
_CUTS = ((1.0, 1.0, 2), (0.84, 1.12, 2), (0.96, 0.96, 4), (0.84, 1.0, 8))
# Lamp or dark, as the mains and the stars of a stone mirror them [2, 16].
_FACETS = np.array([[0.55, -0.55] * 8, [0.5, 0.5, -0.5, -0.5] * 4], np.float32)
STONE_DRAWS = 3 + 2 * 16 + 5 * 2
_COLLAR = 1.13  # reach of the setting, in radii


def paint_stone(
    canvas: Canvas,
    centre: tuple[float, float],
    radius: float,
    turn: float,
    family: int,
    quality: float,
    metal: np.ndarray,
    chances: np.ndarray,
) -> None:
    """Lays a stone in its setting over the canvas.

    Vivid stones are saturated, with hard facets and glints; dull ones are greyish,
    flat and included. Family -1 is a plain plate in the place of a stone.

    Args:
      canvas: changed in place.
      centre: x and y as shares of the side.
      radius: as a share of the side.
      turn: rotation of the ring, radians; the stone's own differs a little.
      family: index into the catalogue's FAMILIES, or -1.
      quality: -sqrt(3) dull to sqrt(3) vivid.
      metal: colour of the setting [3].
      chances: uniform draws for cut, turn, facets and specks [STONE_DRAWS].
    """
    cut = _CUTS[int(chances[0] * len(_CUTS))]
    domed = bool(chances[1] < 0.2) and family != _WHITE
    turn += 0.4 * float(chances[2]) - 0.2
    facets = (2 * chances[3:35] - 1).reshape(2, 16).astype(np.float32)
    specks = (1.2 * chances[35:] - 0.6).reshape(5, 2)
    if family == _MILKY:
        cut, domed = (cut if cut[2] == 2 else _CUTS[0]), True
    window = Window(canvas.size, centre, 1.28 * radius, turn)
    window.x /= radius
    window.y /= radius
    outline = _outline(window.x, window.y, cut)  # 1 on the girdle
    edge = canvas.size * radius  # pixels from the centre to the girdle
    _paint_setting(canvas, window, outline, edge, metal)
    if family < 0:
        return
    inside = outline < 1 + 0.5 / edge
    window.keep(inside)
    x, y, outline = window.x, window.y, outline[inside]
    vivid = quality / (2 * 3**0.5) + 0.5
    if domed:
        colour = _dome(x, y, outline, family, vivid)
    else:
        colour = _brilliant(x, y, outline, family, vivid, facets)
    colour *= _clarity(x, y, specks[: round(5 * (1 - vivid))])
    canvas.lay(window.where, colour, coverage(edge * (1 - outline)))


def _outline(x: np.ndarray, y: np.ndarray, cut: tuple[float, float, int]) -> np.ndarray:
    """Distance from the centre over that of the girdle in the same direction."""
    wide, high, roundness = cut
    across, along = (x / wide) ** 2, (y / high) ** 2
    while roundness > 2:  # |.|^4 and |.|^8 by squaring
        across, along, roundness = across**2, along**2, roundness // 2
    reach = np.sqrt(across + along)
    return reach if cut[2] == 2 else np.sqrt(reach) if cut[2] == 4 else reach**0.25


def _paint_setting(
    canvas: Canvas, window: Window, outline: np.ndarray, edge: float, metal: np.ndarray
) -> None:
    """A polished metal plate, wider than the stone, with four prongs."""
    x, y = window.x, window.y
    bead = np.hypot(np.abs(x) - 0.8, np.abs(y) - 0.8)  # four by symmetry
    inside = np.maximum(_COLLAR - outline, 0.17 - bead)
    kept = np.flatnonzero(inside > -0.5 / edge)
    x, y, bead = x[kept], y[kept], bead[kept]
    light = 0.74 - 0.26 * y - 0.16 * x + 0.22 * np.exp(-(((x + y + 0.6) / 0.35) ** 2))
    light = np.where(bead < 0.17, 1.12 - 2.2 * bead, light)
    colour = metal[:, None] * light
    canvas.lay(window.where[kept], colour, coverage(edge * inside[kept]))


def _body(family: int, vivid: float) -> np.ndarray:
    """Colour of the stone itself: greyish where dull. [3]."""
    return _DULL + (0.28 + 0.72 * vivid) * (_STONE_RGB[family] - _DULL)


def _brilliant(
    x: np.ndarray,
    y: np.ndarray,
    outline: np.ndarray,
    family: int,
    vivid: float,
    facets: np.ndarray,
) -> np.ndarray:
    """A faceted stone [3, M]: a table, a ring of stars and a ring of mains."""
    angle = np.arctan2(y, x) * (16 / (2 * np.pi)) + 16
    # Every other facet mirrors a lamp, the rest the dark; each a little its own.
    crown, stars = 0.45 * facets + _FACETS
    crown = crown[angle.astype(int) % 16]
    stars = stars[(angle + 0.5).astype(int) % 16]
    table = 0.35 - 0.9 * x - 0.54 * y + 0.5 * np.sign(x - 0.7 * y) * (outline > 0.22)
    pattern = np.where(outline < 0.5, table, np.where(outline < 0.75, stars, crown))
    light = 0.80 + 0.10 * vivid + (0.07 + 0.50 * vivid) * pattern - 0.12 * y
    glint = np.maximum(1 - (np.abs(x + 0.3) + np.abs(y + 0.34)) / 0.34, 0) ** 2
    glint += 0.7 * np.maximum(1 - (np.abs(x - 0.4) + np.abs(y - 0.22)) / 0.24, 0) ** 2
    white = 0.12 * vivid * np.maximum(pattern, 0)
    white += max(1.5 * vivid - 0.25, 0) * glint
    return _coloured(light, white, family, vivid)


def _coloured(
    light: np.ndarray, white: np.ndarray, family: int, vivid: float
) -> np.ndarray:
    """The stone's colour under `light` [M] with `white` [M] upon it. [3, M]."""
    return _body(family, vivid)[:, None] * np.maximum(light, 0) + white


def _dome(
    x: np.ndarray, y: np.ndarray, outline: np.ndarray, family: int, vivid: float
) -> np.ndarray:
    """A polished dome or a pearl [3, M]: its lustre is its quality."""
    height = np.sqrt(np.maximum(1 - outline**2, 0))
    light = 0.52 + 0.10 * vivid + 0.42 * height - 0.22 * y - 0.14 * x
    light -= 0.22 * vivid * (1 - height) ** 2
    sharp = 0.30 - 0.16 * vivid
    lustre = np.exp(-((x + 0.32) ** 2 + (y + 0.36) ** 2) / sharp**2)
    colour = _coloured(light, (0.05 + 0.85 * vivid) * lustre, family, vivid)
    if family == _MILKY:  # a play of colour that dull ones lack
        phases = np.stack([5 * x + 2 * y, 4 * y - 3 * x, 6 * y])
        colour += 0.10 * vivid * np.sin(phases)
    return np.maximum(colour, 0)


def _clarity(x: np.ndarray, y: np.ndarray, specks: np.ndarray) -> np.ndarray:
    """Factor below 1 where a stone is flawed: a feather of cloud at each speck."""
    dark = np.zeros_like(x)
    for px, py in specks.tolist():
        near = (x - px) ** 2 / 0.03 + (y - py + 0.5 * (x - px)) ** 2 / 0.008
        dark += np.maximum(1 - near, 0)
    return 1 - 0.42 * np.minimum(dark, 1)
