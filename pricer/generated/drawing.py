"""Draws an item as a photo.

Things are drawn as polygons on a canvas a few times as large as the photo, which is
then averaged, so that a small photo looks like a large one from afar.
"""

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from pricer.generated import catalogue
from pricer.generated.brush import Colour, Frame, fabric, is_dark, shade
from pricer.generated.latents import Items
from pricer.generated.marks import (
    WEAR_DRAWS,
    WEAR_SIGNS,
    paint_label,
    paint_mark,
    paint_slip,
    paint_wear,
    wear_colours,
)
from pricer.generated.outlines import FIXED
from pricer.generated.silhouettes import SILHOUETTES
from pricer.generated.surroundings import (
    BACKDROP_DRAWS,
    COVER_DRAWS,
    LIGHT_DRAWS,
    OCCLUDER_DRAWS,
    THING_DRAWS,
    THINGS,
    paint_backdrop,
    paint_cover,
    paint_occluder,
    paint_parts,
    paint_things,
    photograph,
)

_SMALLEST_CANVAS = 192  # smaller photos are drawn at a larger multiple of their size
_PERIOD = 0.11  # of a material's pattern, in the item's size
_PLACE_DRAWS = 6
_LENGTHS = (
    *(_PLACE_DRAWS, BACKDROP_DRAWS, LIGHT_DRAWS, COVER_DRAWS, OCCLUDER_DRAWS),
    *(THINGS * THING_DRAWS, WEAR_SIGNS[-1] * WEAR_DRAWS),
)
_SPOTS = np.cumsum(_LENGTHS)[:-1]
# Of a mask with 255 where the item has its own colour and 128 on its other parts.
_OWN = [255 if value > 200 else 0 for value in range(256)]
_SHADOW = [80 if value > 60 else 0 for value in range(256)]
_THREADS = [value * 5 // 8 for value in range(256)]
# How much of an item the threads of each pattern cover, as strong as they are.
_COVERAGE = [
    np.mean(np.asarray(fabric(pattern, 40, 40))) / 255 * 5 / 8
    for pattern in range(len(catalogue.PATTERNS))
]


def draw(items: Items, row: int, pixels: int, rng: np.random.Generator) -> np.ndarray:
    """Draws one item.

    Args:
      items: as sampled.
      row: of the item in `items`.
      pixels: side of the photo.
      rng: for what is worth nothing: placement, backdrop, other things, grain.

    Returns:
      uint8 [pixels, pixels, 3].
    """
    # One count of numbers for all photos, so that no defect moves another's.
    numbers = np.split(rng.random(sum(_LENGTHS)), _SPOTS)
    placement, backdrop, light, cover, occluder, things, wear = numbers
    scale = max(2, -(-_SMALLEST_CANVAS // pixels))
    size = pixels * scale
    looks = items.looks[row]
    cluttered = bool(items.defects["clutter"][row])
    image = paint_backdrop(size, backdrop)
    brush = ImageDraw.Draw(image)
    paint_things(brush, size, looks, cluttered, things.reshape(THINGS, THING_DRAWS))
    reach = 0.46 if cluttered else 0.07
    x, y = 0.5 + reach * (placement[:2] - 0.5)
    frame = Frame(
        x * size, y * size, float(looks.size) * size, 0.5 * (placement[2] - 0.5)
    )
    if looks.cover:
        _paint_bare(image, frame, items, row, 0.85 * _body_factor(placement))
        paint_cover(brush, frame, int(looks.cover), cover)
    elif cluttered:
        # Too far away for anything on it.
        _paint_bare(image, frame, items, row, _body_factor(placement))
    else:
        _paint_item(image, frame, items, row, placement, wear)
    if cluttered:
        paint_occluder(brush, frame, int(items.category[row]), occluder)
    return photograph(image.reduce(scale), looks, light, rng)


def _body_factor(placement: np.ndarray) -> float:
    """How much lighter than its colour an item is."""
    return 0.92 + 0.14 * float(placement[3])


def _body_colour(items: Items, row: int, factor: float) -> Colour:
    return shade(catalogue.BODY_COLOURS[items.colour[row]], factor)


def _mask(size: tuple[int, int], frame: Frame, category: int) -> Image.Image:
    """255 where the item has its own colour, 128 on its other parts, else 0."""
    mask = Image.new("L", size)
    brush = ImageDraw.Draw(mask)
    outline = SILHOUETTES[category]
    points = frame.place(outline.points)
    first = 0
    for last, tone in zip(outline.ends, outline.tones, strict=True):
        fill = 128 if tone in FIXED else 255
        brush.polygon(points[first:last].ravel().tolist(), fill=fill)
        first = last
    return mask


def _paint_shadow(image: Image.Image, mask: Image.Image, frame: Frame) -> None:
    step = round(0.03 * frame.size)
    image.paste((20, 20, 24), (step, 2 * step), mask.point(_SHADOW))


def _paint_bare(
    image: Image.Image, frame: Frame, items: Items, row: int, factor: float
) -> None:
    """The item's shape, without anything on it."""
    category = int(items.category[row])
    _paint_shadow(image, _mask(image.size, frame, category), frame)
    body = _body_colour(items, row, factor)
    paint_parts(ImageDraw.Draw(image), frame, category, body)


def _paint_item(
    image: Image.Image,
    frame: Frame,
    items: Items,
    row: int,
    placement: np.ndarray,
    wear: np.ndarray,
) -> None:
    """The item from its front, with all that tells its price."""
    category = int(items.category[row])
    mask = _mask(image.size, frame, category)
    _paint_shadow(image, mask, frame)
    body = _body_colour(items, row, _body_factor(placement))
    pattern = catalogue.MATERIAL_PATTERN[items.item_class[row], items.material[row]]
    body, ink = _dyes(body, int(pattern))
    brush = ImageDraw.Draw(image)
    paint_parts(brush, frame, category, body)
    tinted = mask.point(_OWN)
    if pattern:
        period = max(2, round(_PERIOD * frame.size))
        threads = fabric(int(pattern), period, image.size[0] + period)
        left, top = (int(value * period) for value in placement[4:6])
        cut = threads.crop((left, top, left + tinted.size[0], top + tinted.size[1]))
        image.paste(ink, (0, 0), ImageChops.multiply(tinted, cut.point(_THREADS)))
    if items.condition[row]:
        _paint_wear(image, tinted, frame, int(items.condition[row]), body, wear)
    outline = SILHOUETTES[category]
    paint_mark(brush, frame, outline.mark, int(items.brand[row]))
    grade, pack = int(items.grade[row]), bool(items.pack[row])
    paint_label(brush, frame, outline.label, grade, pack)
    paint_slip(brush, frame, bool(items.receipt[row]))


def _dyes(colour: Colour, pattern: int) -> tuple[Colour, Colour]:
    """Colours of ground and threads, with one mean for all patterns of a colour."""
    cover = _COVERAGE[pattern]
    if is_dark(colour):
        ground = shade([max(0, value + 18 - 64 * cover) for value in colour], 1)
        return ground, shade([value + 64 for value in ground], 1)
    ground = shade(colour, 0.88 / (1 - 0.58 * cover))
    return ground, shade(ground, 0.42)


def _paint_wear(
    image: Image.Image,
    tinted: Image.Image,
    frame: Frame,
    condition: int,
    body: Colour,
    chances: np.ndarray,
) -> None:
    """Signs of wear, where the item has its own colour."""
    masks = [Image.new("L", image.size) for _ in range(2)]
    dark, light = (ImageDraw.Draw(mask) for mask in masks)
    paint_wear(dark, light, frame, condition, chances.reshape(-1, WEAR_DRAWS))
    for mask, colour in zip(masks, wear_colours(body), strict=True):
        image.paste(colour, (0, 0), ImageChops.multiply(tinted, mask))
