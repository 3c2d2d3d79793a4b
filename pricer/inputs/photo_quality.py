"""What a photo lacks: blur, bad light, a small item, nothing to see.

A photo that is refused gets its reasons from here. They are measured on the photo
itself and held against the photos of the training set, so that "too dark" means
darker than 95 % of what the model has learnt from. The faults are those of Han et
al., Vision-based Price Suggestion for Online Second-hand Items, section 1.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from common.data import transforms

# The longer side that photos are brought to, in pixels. All widths below count these.
SIDE = 128

# BT.601 full range, as in JPEG: columns Y', Cb, Cr of gamma-coded RGB.
_YCBCR = np.array(
    [
        [0.299, -0.168736, 0.5],
        [0.587, -0.331264, -0.418688],
        [0.114, 0.5, -0.081312],
    ],
    np.float32,
)
# BT.709 weights of linear light.
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
_CODES = np.arange(256) / 255
# IEC 61966-2-1: linear light of each sRGB code.
_LINEAR = np.where(
    _CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4
).astype(np.float32)

_SMOOTHING = 0.7  # px; keeps noise and JPEG blocks out of the sharpness
_FLAT = 1e-7  # gradient energy that rounding to 8 bits makes by itself
_STANDS_OUT = 0.06  # colour distance that noise and compression stay below
_PART = 0.1  # smaller parts than this share of the largest one are specks
_AROUND = 4  # px around the item where blown-out light eats into it
_CLIPPED = 253
_GLARE = 0.01  # luminance, as of a black thing; below it stops mean nothing


@dataclasses.dataclass(frozen=True)
class Measures:
    """What was measured on a photo, its longer side scaled to `SIDE` pixels.

    Attributes:
      sharpness: sqrt(2 mean(L^2) / mean(|g|^2)) with Laplacian L and gradient g of
        luma: 1 / sigma for a step edge blurred by sigma px, 0.7 px of smoothing
        against noise included. The energy of the Laplacian is the classic measure
        (Pech-Pacheco et al., Diatom Autofocusing in Brightfield Microscopy, 2000);
        divided by that of the gradient it depends neither on contrast nor on how
        many edges there are. Enlarging adds no detail: a photo smaller than `SIDE`
        counts as less sharp.
      brightness: CIE 1976 lightness L*, 0 to 100, of the 95 % quantile of linear
        luminance. A quantile near the top, since an item that is well lit may lie on
        black velvet.
      unevenness: stops between the two halves (left and right or top and bottom,
        whichever differ more): |log2((a + 0.01) / (b + 0.01))| of the 95 %
        quantiles a, b of their luminance.
      clipped: share of the pixels in and closely around what stands out that have a
        channel at its end (253 or more); of all pixels where nothing stands out.
        Elsewhere white is only a background.
      contrast: root mean square distance of the Y'CbCr colours, in units of the
        range of luma, from the plane fitted to them; the plane takes away light that
        falls off over a bare wall.
      object_share: share of the frame that the bounding box of what stands out
        takes; 0 where nothing does. Bounding box and not area: coming closer doesn't
        help a thin necklace that already reaches from side to side. What stands out
        is farther from the median colour of the border than Otsu's threshold (1979).
    """

    sharpness: float
    brightness: float
    unevenness: float
    clipped: float
    contrast: float
    object_share: float


def measure(photo: np.ndarray) -> Measures:
    """Measures a photo of any size.

    Args:
      photo: uint8 [H, W, 3], sRGB.

    Raises:
      ValueError: for another shape or type, or no pixels.
    """
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise ValueError(f"a photo is uint8 [H, W, 3], not {photo.dtype} {photo.shape}")
    if photo.size == 0:
        raise ValueError(f"a photo without pixels: {photo.shape}")
    scale = SIDE / max(photo.shape[:2])
    height, width = (max(round(side * scale), 1) for side in photo.shape[:2])
    pixels = transforms.resize(photo, (height, width))
    colours = (pixels.reshape(-1, 3) @ (_YCBCR / np.float32(255))).reshape(pixels.shape)
    luminance = (_LINEAR[pixels].reshape(-1, 3) @ _LUMINANCE).reshape(height, width)
    stands_out = _find_object(colours)
    return Measures(
        sharpness=_sharpness(colours[..., 0]),
        brightness=_lightness(_highlights(luminance)),
        unevenness=_unevenness(luminance),
        clipped=_clipped_share(pixels, stands_out),
        contrast=_contrast(colours),
        object_share=_box_share(stands_out),
    )


def _sharpness(luma: np.ndarray) -> float:
    """`Measures.sharpness` of luma [H, W]."""
    smooth = ndimage.gaussian_filter(luma, _SMOOTHING, mode="nearest", truncate=3.0)
    padded = np.pad(smooth, 1, mode="edge")
    across = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
    down = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    gradient = np.mean(across**2) + np.mean(down**2)
    laplacian = np.mean(ndimage.laplace(smooth, mode="nearest") ** 2)
    return float(np.sqrt(2 * laplacian / (gradient + _FLAT)))


def _highlights(luminance: np.ndarray) -> float:
    """The 95 % quantile, without interpolation: of n values the ceil(0.95 n)-th."""
    rank = -(-95 * luminance.size // 100) - 1
    return float(np.partition(luminance, rank, axis=None)[rank])


def _lightness(luminance: float) -> float:
    """CIE 1976 L* of a luminance between 0 and 1."""
    if luminance <= (6 / 29) ** 3:
        return luminance * (29 / 3) ** 3
    return min(116 * luminance ** (1 / 3) - 16, 100.0)


def _unevenness(luminance: np.ndarray) -> float:
    height, width = luminance.shape

    def stops(half: np.ndarray) -> float:
        return float(np.log2(_highlights(half) + _GLARE))

    # The middle row or column of an odd number belongs to both halves: none is empty.
    down = stops(luminance[: (height + 1) // 2]) - stops(luminance[height // 2 :])
    across = stops(luminance[:, : (width + 1) // 2]) - stops(luminance[:, width // 2 :])
    return max(abs(down), abs(across))


def _contrast(colours: np.ndarray) -> float:
    """Distance of colours [H, W, 3] from their plane c + a x + b y; see `Measures`."""
    rest = colours.reshape(-1, 3)  # [P, 3]
    rest = rest - np.full(len(rest), 1 / len(rest), np.float32) @ rest
    variance = np.einsum("pc,pc->", rest, rest) / len(rest)
    axes = np.indices(colours.shape[:2], np.float32).reshape(2, -1)  # [2, P]
    for axis in axes - axes.mean(1, keepdims=True):
        variance -= np.sum((axis @ rest) ** 2) / max(axis @ axis, 1) / len(rest)
    return float(np.sqrt(max(variance, 0.0)))  # rounding may leave less than zero


def _find_object(colours: np.ndarray) -> np.ndarray:
    """Marks, bool [H, W], what stands out from the median colour of the border."""
    border = (colours[0], colours[-1], colours[:, 0], colours[:, -1])
    median = np.median(np.concatenate(border), 0)
    distance = np.sqrt(np.square(colours - median).sum(-1))  # [H, W]
    return distance > max(_otsu(distance), _STANDS_OUT)


def _otsu(values: np.ndarray, bins: int = 128) -> float:
    """Threshold with the largest variance between the two classes; 0 for all zero."""
    top = float(values.max())
    if top == 0:
        return 0.0
    index = np.minimum(values * (bins / top), bins - 1).astype(np.intp)
    counts = np.bincount(index.ravel(), minlength=bins)
    below = counts.cumsum()[:-1]
    above = values.size - below
    sums = (counts * np.arange(bins)).cumsum()
    gap = sums[-1] * (below / values.size) - sums[:-1]
    between = gap**2 / np.maximum(below * above, 1)  # [bins - 1]
    # An empty stretch of the histogram gives a plateau; its middle is the farthest
    # from both classes.
    best = np.flatnonzero(between >= between.max() * (1 - 1e-9))
    return float(best[0] + best[-1] + 2) / 2 * top / bins


def _box_share(marked: np.ndarray) -> float:
    """Share of the frame in the bounding box of all marked parts but specks."""
    labels, _ = ndimage.label(marked)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    if not areas.any():
        return 0.0
    kept = (areas >= max(_PART * areas.max(), 1))[labels]
    rows, columns = (np.flatnonzero(kept.any(axis)) for axis in (1, 0))
    box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    return float(box / marked.size)


def _clipped_share(pixels: np.ndarray, stands_out: np.ndarray) -> float:
    red, green, blue = np.moveaxis(pixels, -1, 0)
    clipped = np.maximum(np.maximum(red, green), blue) >= _CLIPPED  # [H, W]
    if stands_out.any():
        around = ndimage.maximum_filter(stands_out.view(np.uint8), 2 * _AROUND + 1)
        clipped = clipped[around > 0]
    return float(clipped.mean())


# Sentence for each code. The codes are stable, the words are not.
TEXTS = {
    "blur": (
        "the photo is blurred: hold the camera still, clean the lens or send it larger"
    ),
    "dark": "the photo is too dark: use daylight or a lamp",
    "overexposed": "the photo is overexposed: turn off the flash or use softer light",
    "uneven": "the light is uneven: avoid shadows and light from one side only",
    "small": "the item is small in the photo: go closer",
    "blank": "the photo shows one colour only: photograph the item itself",
}


class _Rule(NamedTuple):
    """A measure as a reason: field of `Measures`, which side is bad, and the smallest
    distance of a limit from the median that can be seen."""

    measure: str
    low_is_bad: bool
    floor: float


_RULES = {
    "blur": _Rule("sharpness", True, 0.1),
    "dark": _Rule("brightness", True, 5.0),
    "overexposed": _Rule("clipped", False, 0.05),
    "uneven": _Rule("unevenness", False, 0.5),
    "small": _Rule("object_share", True, 0.05),
    "blank": _Rule("contrast", True, 0.02),
}

# Among rich photos the poorest 5 % still show something; at most this contrast, what
# strong noise has, makes the sentence true.
_BLANK = 0.03

# What can't be told of a photo that shows nothing.
_NEEDS_CONTENT = ("blur", "uneven", "small")


@dataclasses.dataclass(frozen=True)
class Limit:
    """A limit, the median of the training photos, and their spread: the distance of
    median and quantile."""

    limit: float
    median: float
    spread: float


@dataclasses.dataclass(frozen=True)
class Limits:
    """Where a measure becomes a reason.

    Attributes:
      by_code: for each code of `TEXTS`, in the units of its measure.
    """

    by_code: Mapping[str, Limit]

    @classmethod
    def fit(cls, measures: Iterable[Measures], share: float = 0.05) -> "Limits":
        """Takes the quantile `share` of the training photos, or 1 - share.

        Where they hardly differ, the limit moves away from their median as far as
        the measure needs for a visible difference.

        Args:
          measures: of photos that the model learns from.
          share: of these photos that lie beyond each limit.

        Raises:
          ValueError: for no photos, or a share outside (0, 0.5).
        """
        rows = list(measures)
        if not rows:
            raise ValueError("limits need the measures of at least one photo")
        if not 0 < share < 0.5:
            raise ValueError(f"share must lie between 0 and 0.5, not {share}")
        limits = {}
        for code, rule in _RULES.items():
            values = np.array([getattr(row, rule.measure) for row in rows], np.float64)
            median = float(np.median(values))
            edge = float(np.quantile(values, share if rule.low_is_bad else 1 - share))
            spread = max(abs(median - edge), rule.floor)
            if rule.low_is_bad:
                limit = min(edge, median - rule.floor)
            else:
                limit = max(edge, median + rule.floor)
            if code == "blank":
                limit = min(limit, _BLANK)
            limits[code] = Limit(limit, median, spread)
        return cls(limits)

    def to_json(self) -> dict[str, Any]:
        """A JSON value that `from_json` turns back into equal limits."""
        return {code: dataclasses.asdict(limit) for code, limit in self.by_code.items()}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> "Limits":
        """Inverse of `to_json`; a code that this version doesn't know is left out."""
        return cls({code: Limit(**saved[code]) for code in _RULES if code in saved})


def reason_codes(measures: Measures, limits: Limits) -> tuple[str, ...]:
    """Codes of what is wrong with a photo, the worst first.

    Severity is |measure - median| / spread: 1 at the limit, 2 where the photo is
    twice as far from the median of the training photos.

    Args:
      measures: of the photo.
      limits: of the model's training photos.

    Returns:
      Keys of `TEXTS`; empty if no limit is passed.
    """
    severity = {}
    for code, limit in limits.by_code.items():
        rule = _RULES[code]
        value = getattr(measures, rule.measure)
        if value < limit.limit if rule.low_is_bad else value > limit.limit:
            severity[code] = abs(value - limit.median) / limit.spread
    if "blank" in severity:
        severity = {k: v for k, v in severity.items() if k not in _NEEDS_CONTENT}
    return tuple(sorted(severity, key=lambda code: -severity[code]))


def reasons(measures: Measures, limits: Limits) -> tuple[str, ...]:
    """`reason_codes` as sentences for the seller."""
    return tuple(TEXTS[code] for code in reason_codes(measures, limits))
