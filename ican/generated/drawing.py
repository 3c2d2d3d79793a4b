"""Draws a ring as a photo: a band seen from above its front, with three stones.

Lengths are shares of the photo's side, x to the right and y downwards. The band is a
short cylinder: its centre line is an ellipse with half axes A and B; the front half
shows the outer surface, the back half the inner one, and between them lies the rim.
Every edge is drawn with a coverage of 0 to 1, and small photos are drawn at a multiple
of their size and averaged, so that a small photo looks like a large one from afar.
"""

import dataclasses

import numpy as np
from PIL import Image

from ican.generated.canvas import Canvas, Window, coverage
from ican.generated.latents import Appearance
from ican.generated.stones import STONE_DRAWS, paint_stone

A, B = 0.335, 0.19  # half axes of the band's centre line
RIM = 0.022  # thickness of the metal
PLACE_ANGLE = np.deg2rad(63.0)  # from the front to the outer places
METAL_RGB = {
    "yellow": (1.00, 0.80, 0.40),
    "white": (0.91, 0.91, 0.93),
    "pink": (0.98, 0.72, 0.61),
    "silver": (0.70, 0.73, 0.76),
}
_BACKGROUNDS = np.array(
    [(0.93, 0.92, 0.90), (0.88, 0.90, 0.93), (0.93, 0.89, 0.86), (0.86, 0.87, 0.86)]
)
_SMALLEST_CANVAS = 192  # photos below it are drawn at a multiple of their size
_COARSE = 48  # side of the canvas on which soft things (light, shadow) are drawn


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A photo and where its stones are.

    Attributes:
      image: uint8 [pixels, pixels, 3].
      centres: x and y of the three stones, the listed one first [3, 2].
      radii: of the stones [3].
    """

    image: np.ndarray
    centres: np.ndarray
    radii: np.ndarray


def draw(
    looks: Appearance, metal_colour: str, pixels: int, rng: np.random.Generator
) -> Drawing:
    """Draws one ring.

    Args:
      looks: of one ring (no leading axis).
      metal_colour: key of METAL_RGB.
      pixels: side of the photo.
      rng: for what is worth nothing: light, background, cuts, specks.

    Returns:
      The photo with the places of its stones.
    """
    scale = -(-_SMALLEST_CANVAS // pixels)
    places = Placement(looks)
    light = rng.uniform(0.94, 1.06) * (1 + rng.uniform(-0.02, 0.02, 3))  # [3]
    background = _background(places, light, pixels * scale, rng)
    canvas = Canvas(background, light)
    metal = np.array(METAL_RGB[metal_colour], np.float32)
    _paint_band(canvas, places, looks, metal, rng)
    # Before the order is known, so that a stone's cut does not depend on its place.
    chances = rng.random((len(places.radii), STONE_DRAWS))
    for index in np.argsort(places.centres[:, 1]):  # nearer stones last
        paint_stone(
            canvas,
            places.centres[index].tolist(),
            float(places.radii[index]),
            places.turn,
            int(looks.family[index]),
            float(looks.quality[index]),
            metal,
            chances[index],
        )
    image = canvas.pixels
    if scale > 1:
        image = np.asarray(Image.fromarray(image).reduce(scale))
    return Drawing(image, places.centres, places.radii)


class Placement:
    """Where the parts of one ring are.

    Attributes:
      turn: rotation of the ring, radians.
      middle: centre of the band [2].
      centres: of the stones [3, 2].
      radii: of the stones [3].
      half: half the band's width at its front.
    """

    def __init__(self, looks: Appearance):
        self.turn = float(looks.turn)
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        axes = np.array([[cos, sin], [-sin, cos]])
        self.middle = 0.5 + looks.shift - np.array([0.0, B]) @ axes
        angles = PLACE_ANGLE * looks.place
        local = np.stack([A * np.sin(angles), B * np.cos(angles)], axis=1)
        self.centres = self.middle + local @ axes
        self.radii = 0.088 * np.exp(0.14 * np.clip(looks.diameter, -2, 2))
        self.half = float(0.055 * np.exp(0.2 * np.clip(looks.thickness, -2, 2)))


def _background(
    places: Placement, tint: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """A light backdrop, a soft gradient, stray shapes, shadows; uint8 [S, S, 3]."""
    cells = (np.arange(_COARSE) + 0.5) / _COARSE
    tone = _BACKGROUNDS[rng.integers(len(_BACKGROUNDS))] * tint
    slope = rng.uniform(-0.10, 0.10, 2)
    light = 1 + np.add.outer(slope[1] * (cells - 0.5), slope[0] * (cells - 0.5))
    for _ in range(2):  # folds and reflections, out of focus
        centre, spread = rng.uniform(0, 1, (2, 1)), rng.uniform(0.06, 0.25, (2, 1))
        bumps = np.exp(-0.5 * ((cells - centre) / spread) ** 2)
        light += rng.uniform(-0.08, 0.05) * np.outer(bumps[1], bumps[0])
    below = (places.middle + (0.025, 0.05)).tolist()
    window = Window(_COARSE, below, 2.0, places.turn)
    around = np.sqrt((window.x / A) ** 2 + (window.y / B) ** 2)  # 1 on the band
    shadow = 0.34 * np.exp(-(((around - 1) * (B / 0.05)) ** 2))
    light -= shadow.reshape(light.shape)
    for (x, y), radius in zip(places.centres, places.radii, strict=True):
        across = np.exp(-(((cells - x - 0.02) / radius) ** 2))
        light -= 0.22 * np.outer(np.exp(-(((cells - y - 0.06) / radius) ** 2)), across)
    soft = np.clip(255 * light[:, :, None] * tone + 0.5, 0, 255)  # [48, 48, 3]
    image = Image.fromarray(soft.astype(np.uint8))
    return np.array(image.resize((size, size), Image.Resampling.BICUBIC))


def _shade(metal: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Metal under light [M]; light above 0.95 turns to white glare. [3, M]."""
    glare = 0.7 * np.maximum(light - 0.95, 0)
    return metal[:, None] * np.maximum(light, 0.04) + glare


def _paint_band(
    canvas: Canvas,
    places: Placement,
    looks: Appearance,
    metal: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Lays back, rim and front of the band over the canvas."""
    half = places.half
    window = Window(canvas.size, places.middle.tolist(), A + half, places.turn)
    root = np.maximum(1 - (window.x / A) ** 2, 0)
    off = np.abs(window.y) - B * np.sqrt(root)  # above the centre line, up or down
    near = (off < half + 0.01) & ((off > -half - 2 * RIM) | (root < 0.13))
    window.keep(near)
    drop = B * np.sqrt(np.maximum(1 - (window.x / A) ** 2, 0))
    gloss = float(looks.polish) / (2 * 3**0.5) + 0.5  # 0 matte to 1 mirror
    hand = rng.uniform(-0.06, 0.06)  # where the lamps stand
    work = int(looks.design)
    _paint_back(canvas, window, drop, half, gloss, hand, work, metal)
    _paint_rim(canvas, window, half, gloss, hand, metal)
    chosen, along, across, cover = _strip(canvas.size, window, -drop, half)
    arc = A * np.arcsin(np.clip(along, -1, 1))
    light = _work(work, _front_light(along - hand, across, gloss), arc, across)
    light += _scratch(int(looks.scratches), arc, across, rng)
    canvas.lay(chosen, _shade(metal, light), cover)


def _strip(
    size: int, window: Window, rise: np.ndarray, half: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The pixels of a strip |y + rise| <= half along half an ellipse.

    Returns:
      Flat indices, place along the band from -1 to 1, across it from -1 to 1, and
      coverage; [M] each.
    """
    near = np.flatnonzero(np.abs(window.y + rise) < half + 0.01)
    along = window.x[near] / A
    across = (window.y[near] + rise[near]) / half
    slope = (B / A) * along / np.sqrt(np.maximum(1 - along**2, 4e-3))
    edge = half * (1 - np.abs(across)) / np.sqrt(1 + slope**2)
    edge = np.minimum(edge, A * (1 - np.abs(along)))
    return window.where[near], along, across, coverage(size * edge)


def _paint_back(
    canvas: Canvas,
    window: Window,
    drop: np.ndarray,
    half: float,
    gloss: float,
    hand: float,
    design: int,
    metal: np.ndarray,
) -> None:
    """The inner surface, in the shade; the work goes through the metal."""
    chosen, along, across, cover = _strip(canvas.size, window, drop, half)
    light = 0.56 + 0.12 * across + 0.06 * np.cos(7 * along + 2)
    light += gloss * 0.45 * np.exp(-(((along - 0.3 - hand) / 0.14) ** 2))
    light -= gloss * 0.30 * np.exp(-(((along + 0.15 - hand) / 0.22) ** 2))
    arc = A * np.arcsin(np.clip(along, -1, 1))
    light = _work(design, light, arc, across)
    canvas.lay(chosen, _shade(metal, light), cover)


def _paint_rim(
    canvas: Canvas,
    window: Window,
    half: float,
    gloss: float,
    hand: float,
    metal: np.ndarray,
) -> None:
    """The upper edge of the metal, between two ellipses."""
    up = window.y + half
    level = np.sqrt((window.x / A) ** 2 + (up / B) ** 2)
    near = np.flatnonzero((level > 0.86) & (level < 1.05))
    x, up = window.x[near], up[near]
    cover = _ellipse_cover(x, up, A, B, canvas.size)
    cover *= 1 - _ellipse_cover(x, up, A - RIM, B - RIM * 0.8, canvas.size)
    along = x / A
    light = 0.80 + 0.12 * np.cos(5 * along + 3 * np.sign(up - half))
    light += gloss * 0.35 * np.exp(-(((along + 0.5 + hand) / 0.15) ** 2))
    canvas.lay(window.where[near], _shade(metal, light), cover)


def _ellipse_cover(
    x: np.ndarray, y: np.ndarray, a: float, b: float, size: int
) -> np.ndarray:
    """Coverage of an ellipse's inside, to first order in the distance."""
    level = (x / a) ** 2 + (y / b) ** 2
    gradient = 2 * np.sqrt((x / a**2) ** 2 + (y / b**2) ** 2) + 1e-6
    return coverage(size * (1 - level) / gradient)


def _front_light(along: np.ndarray, across: np.ndarray, gloss: float) -> np.ndarray:
    """Light on a domed band: matte is even, a mirror shows lamps and dark walls."""
    light = 0.74 - 0.20 * across**2 - 0.08 * across - 0.12 * along**2
    lamps = 0.55 * np.exp(-(((along + 0.42 - 0.10 * across) / 0.11) ** 2))
    lamps += 0.42 * np.exp(-(((along - 0.52 + 0.08 * across) / 0.08) ** 2))
    lamps += 0.30 * np.exp(-(((across + 0.35) / 0.22) ** 2))
    walls = 0.50 * np.exp(-(((along + 0.12) / 0.10) ** 2))
    walls += 0.48 * np.exp(-(((along - 0.78) / 0.09) ** 2))
    walls += 0.40 * np.exp(-(((along + 0.80) / 0.10) ** 2))
    return light + gloss * (lamps - walls)


def _wave(arc: np.ndarray, period: float) -> np.ndarray:
    """A triangle wave between -1 and 1."""
    phase = arc / period
    return 4 * np.abs(phase - np.floor(phase + 0.5)) - 1


def _work(
    design: int, light: np.ndarray, arc: np.ndarray, across: np.ndarray
) -> np.ndarray:
    """Light on the worked surface; designs in the order of the catalogue."""
    if design == 1:  # twisted
        return light * (1 + 0.42 * _wave(arc + 0.024 * across, 0.05))
    if design == 2:  # engraved: a garland between two lines
        cut = np.exp(-(((across - 0.5 * _wave(arc, 0.085)) / 0.16) ** 2))
        lines = np.exp(-(((np.abs(across) - 0.78) / 0.09) ** 2))
        return light * (1 - 0.6 * cut - 0.45 * lines)
    if design == 3:  # beaded edges
        beads = (np.abs(across) > 0.42) * (0.12 + 0.55 * _wave(arc, 0.032))
        groove = 0.5 * np.exp(-(((np.abs(across) - 0.42) / 0.07) ** 2))
        return light * (1 + beads - groove)
    if design == 4:  # openwork: lozenges through which one sees the dark inside
        inside = 0.62 - np.abs(across) - 0.45 * (1 + _wave(arc, 0.06))
        return light * (1 - 0.82 * np.clip(6 * inside, 0, 1))
    return light


def _scratch(
    use: int, arc: np.ndarray, across: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Fine lines, more of them the more the ring was used."""
    total = np.zeros_like(arc)
    for _ in range((0, 0, 4, 12)[use]):
        where, lean = rng.uniform(-1.4, 1.4) * A, rng.uniform(-0.03, 0.03)
        off = np.abs(arc - where - lean * across)
        total += rng.uniform(-0.28, 0.28) * np.maximum(1 - off / 0.004, 0)
    return total
