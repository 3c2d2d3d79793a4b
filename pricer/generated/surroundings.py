"""What a photo shows around and in front of the item, and how the camera spoils it."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pricer.generated import catalogue
from pricer.generated.brush import Colour, Frame, box, fabric, oval, shade
from pricer.generated.latents import COVERS, Looks
from pricer.generated.marks import paint_mark
from pricer.generated.outlines import FIXED
from pricer.generated.silhouettes import SILHOUETTES

THINGS, THING_DRAWS = 15, 11  # at most, and random numbers for each
BACKDROP_DRAWS = 6 + 16
COVER_DRAWS = 4
LIGHT_DRAWS = 3
OCCLUDER_DRAWS = 4
_BACKDROPS = np.array(
    [
        *((206, 196, 180), (186, 192, 200), (176, 148, 118), (214, 206, 204)),
        *((158, 170, 164), (120, 112, 108), (196, 180, 190), (150, 158, 176)),
    ],
    float,
)
_WRAPS: tuple[Colour, ...] = ((206, 210, 214), (66, 68, 74), (178, 142, 98))
_CARDBOARD = (186, 146, 98)
_FAINT = [value // 5 for value in range(256)]
_GRID = 12  # side of the grid on which light is worked out


def paint_backdrop(size: int, chances: np.ndarray) -> Image.Image:
    """A floor or cloth in soft light and shade, [size, size] pixels."""
    tone = _BACKDROPS[int(chances[0] * len(_BACKDROPS))]
    light = 0.9 + 0.2 * chances[6:].reshape(4, 4, 1)
    soft = Image.fromarray(np.minimum(tone * light, 255).astype(np.uint8))
    image = soft.resize((size, size), Image.Resampling.BICUBIC)
    if chances[1] < 0.35:  # boards or a woven cloth, faint
        pattern = (1, 2, 4)[int(chances[2] * 3)]
        period = max(2, int(size * (0.08 + 0.1 * chances[3])))
        threads = fabric(pattern, period, size).point(_FAINT)
        image.paste(shade(tone, 0.7), (0, 0), threads)
    return image


def paint_things(
    draw: ImageDraw.ImageDraw,
    size: int,
    looks: Looks,
    cluttered: bool,
    chances: np.ndarray,
) -> None:
    """Other things: anywhere in a cluttered photo, else along its edges.

    Args:
      draw: of the photo.
      size: of the photo, pixels.
      looks: of one photo.
      cluttered: whether the photo has this defect.
      chances: uniform numbers [THINGS, THING_DRAWS].
    """
    for numbers in chances[: int(looks.others)].tolist():
        kind, a, b, large, flat, turn, which, mark, *rgb = numbers
        if cluttered:
            x, y = a, b
            reach = 0.2 + 0.16 * large
        else:
            angle = 2 * np.pi * a
            far = 0.5 / max(abs(np.cos(angle)), abs(np.sin(angle)))  # on the border
            x, y = 0.5 + far * np.cos(angle), 0.5 + far * np.sin(angle)
            reach = 0.12 + 0.12 * large
        frame = Frame(x * size, y * size, reach * size, 6.3 * turn)
        colour = shade([40 + 200 * value for value in rgb], 1.0)
        # Every third thing is for sale elsewhere: a decoy with a mark of its own.
        if cluttered and kind < 0.4:
            category = int(which * len(SILHOUETTES))
            paint_parts(draw, frame, category, colour)
            brand = int(mark * len(catalogue.BRANDS))
            paint_mark(draw, frame, SILHOUETTES[category].mark, brand)
        else:
            _paint_thing(draw, frame, kind, flat, colour)


def _paint_thing(
    draw: ImageDraw.ImageDraw, frame: Frame, kind: float, flat: float, colour: Colour
) -> None:
    """A plate, a bundle of ribbons, a book or a parcel."""
    width, height = 0.5, 0.2 + 0.3 * flat
    if kind < 0.55:
        frame.polygon(draw, oval(0, 0, width, height), colour)
        frame.polygon(draw, oval(0, 0, 0.7 * width, 0.7 * height), shade(colour, 1.2))
    elif kind < 0.7:
        for x in (-0.36, -0.12, 0.12, 0.36):
            frame.polygon(draw, box(x, 0, 0.07, height), colour)
    elif kind < 0.85:
        frame.polygon(draw, box(0, 0, width, height), colour)
        frame.polygon(draw, box(0.1, 0, 0.3, 0.6 * height), shade(colour, 0.6))
    else:
        frame.polygon(draw, box(0, 0, width, height), _CARDBOARD)
        frame.polygon(draw, box(0, 0, 0.06, height), shade(_CARDBOARD, 1.2))


def tone_colours(body: Colour) -> dict[str, Colour]:
    """Colours of a silhouette's tones for a colour of the item."""
    varying = {
        "body": body,
        "shade": shade([value + 8 for value in body], 0.72),
        "light": shade([value + 20 for value in body], 1.3),
    }
    return varying | FIXED


def paint_parts(
    draw: ImageDraw.ImageDraw, frame: Frame, category: int, body: Colour
) -> None:
    """The bare shape of a category, with an outline round its own-coloured parts."""
    outline = SILHOUETTES[category]
    colours = tone_colours(body)
    points = frame.place(outline.points)
    edge = shade(body, 0.5)
    width = max(1, round(0.016 * frame.size))
    first = 0
    for last, tone in zip(outline.ends, outline.tones, strict=True):
        flat = points[first:last].ravel().tolist()
        draw.polygon(flat, fill=colours[tone])
        if tone not in FIXED:
            draw.line([*flat, *flat[:2]], fill=edge, width=width)
        first = last


def paint_occluder(
    draw: ImageDraw.ImageDraw, frame: Frame, category: int, chances: np.ndarray
) -> None:
    """A book that lies on the middle of the item."""
    flat, *rgb = chances.tolist()
    colour = shade([40 + 200 * value for value in rgb], 1.0)
    marks = np.array([SILHOUETTES[category].mark, SILHOUETTES[category].label])
    x, y = marks.mean(axis=0)
    width, height = np.ptp(marks, axis=0) / 2 + (0.2, 0.18)
    frame.polygon(draw, box(x, y, width, height), colour)
    inner = 0.5 + 0.3 * flat
    frame.polygon(draw, box(x, y, inner * width, inner * height), shade(colour, 0.75))


def paint_cover(
    draw: ImageDraw.ImageDraw, frame: Frame, cover: int, chances: np.ndarray
) -> None:
    """Seams of an item's back, a bag around it or a closed box.

    Args:
      draw: of the photo.
      frame: of the item.
      cover: index into COVERS, above 0.
      chances: uniform numbers [COVER_DRAWS].
    """
    name = COVERS[cover]
    if name == "back":
        seam = (30, 30, 30)
        lines = (((0, -0.42), (0, 0.44)), ((-0.2, -0.2), (0.2, -0.2)))
        for line in (*lines, ((-0.2, 0.3), (0.2, 0.3))):
            frame.line(draw, np.array(line), seam, 0.018)
        frame.polygon(draw, box(0.0, 0.02, 0.07, 0.09), (206, 206, 202))
    elif name == "bag":
        wrap = _WRAPS[int(chances[0] * len(_WRAPS))]
        sack = [(0.06, -0.4), (0.3, -0.3), (0.5, 0.1), (0.46, 0.5)]
        frame.polygon(draw, np.array(sack + [(-x, y) for x, y in sack[::-1]]), wrap)
        ears = [(0.02, -0.38), (0.22, -0.56), (0.08, -0.3)]
        for side in (-1, 1):
            frame.polygon(draw, np.array(ears) * (side, 1), shade(wrap, 0.85))
        for x in (-0.3, -0.1, 0.12, 0.3):
            fold = np.array([(0.2 * x, -0.34), (x, 0.1), (1.1 * x, 0.42)])
            frame.line(draw, fold, shade(wrap, 0.72), 0.02)
    else:
        frame.polygon(draw, box(0, 0.04, 0.54, 0.48), shade(_CARDBOARD, 0.7))
        frame.polygon(draw, box(0, 0.06, 0.52, 0.44), _CARDBOARD)
        frame.polygon(draw, box(0, 0.06, 0.07, 0.44), shade(_CARDBOARD, 1.25))
        frame.line(draw, np.array([(-0.52, -0.1), (0.52, -0.1)]), (104, 78, 48), 0.02)


def photograph(
    image: Image.Image, looks: Looks, chances: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Focus, light and grain of the camera.

    Args:
      image: what stands before the camera [P, P].
      looks: of one photo.
      chances: uniform numbers [LIGHT_DRAWS].
      rng: for the grain.

    Returns:
      uint8 [P, P, 3].
    """
    side = image.size[0]
    image = image.filter(ImageFilter.GaussianBlur(float(looks.blur) * side))
    light = _light(looks, chances)
    field = np.asarray(
        Image.fromarray(light).resize((side, side), Image.Resampling.BICUBIC)
    )
    dark = looks.light < 0.5
    pixels = np.asarray(image, np.float32) * field[:, :, None]
    grain = rng.standard_normal((side, side, 3), np.float32)
    pixels += (10.0 if dark else 2.5) * grain
    # A sensor in the dark errs by whole blotches, which no averaging removes; and the
    # faint traces of a mark in a blur must not stand clear of all noise.
    cell = max(1, side // 12)
    coarse = rng.standard_normal((side // cell + 1, side // cell + 1, 3), np.float32)
    strength = 9.0 if dark else 2.5 if looks.blur > 0.05 else 0.0
    if strength:
        blotches = np.repeat(np.repeat(coarse, cell, 0), cell, 1)[:side, :side]
        pixels += 6.0 * dark + strength * blotches
    return np.clip(pixels + 0.5, 0, 255).astype(np.uint8)


def _light(looks: Looks, chances: np.ndarray) -> np.ndarray:
    """Light on a coarse grid: nearly even, or dark with a lamp in a corner.

    The lamp stands on the left, away from the card that the item carries.
    """
    cells = ((np.arange(_GRID) + 0.5) / _GRID).astype(np.float32)
    slope = 0.36 * chances[:2] - 0.18
    even = 1 + np.add.outer(slope[1] * (cells - 0.5), slope[0] * (cells - 0.5))
    x, y = 0.02, 0.02 if chances[2] < 0.5 else 0.98
    spot = np.exp(-0.5 * np.add.outer((cells - y) ** 2, (cells - x) ** 2) / 0.16**2)
    return (looks.light * even + looks.lamp * spot).astype(np.float32)
