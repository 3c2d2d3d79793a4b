"""Photos with known faults."""

import dataclasses
import json
import math
import pathlib
import tarfile

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import ndimage

from common.data import images
from pricer.inputs.photo_quality import (
    SIDE,
    TEXTS,
    Limits,
    Measures,
    measure,
    reason_codes,
    reasons,
)

PHOTOS = (
    pathlib.Path(__file__).parents[4] / "shared/data/ebay_antiquities/images.tar.xz"
)
GOOD = Measures(
    sharpness=1.5,
    brightness=80.0,
    unevenness=0.2,
    clipped=0.0,
    contrast=0.2,
    object_share=0.6,
)
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]


def grey(values):
    """Photo of grey levels [H, W] between 0 and 1."""
    levels = np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, 2)


def checkerboard(low=0.2, high=0.8):
    return np.where((ROWS // 16 + COLUMNS // 16) % 2, low, high)


def blurred(photo, sigma):
    """Blurs by `sigma` pixels of the scaled photo."""
    radius = sigma * max(photo.shape[:2]) / SIDE
    return np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(radius)))


def training(**columns):
    """Measures that differ in the named columns only."""
    rows = zip(*columns.values(), strict=True)
    return [
        dataclasses.replace(GOOD, **dict(zip(columns, map(float, row), strict=True)))
        for row in rows
    ]


@pytest.mark.parametrize(
    "sigma, contrast",
    # Steps of 1/255 are part of what is measured on a wide and faint edge.
    [(1.5, 0.2), (2, 0.2), (3, 0.2), (1.5, 0.9), (2, 0.9), (3, 0.9), (5, 0.9)],
)
def test_sharpness_is_one_over_the_width_of_an_edge(sigma, contrast):
    edge = ndimage.gaussian_filter1d(
        np.where(COLUMNS < SIDE // 2, 0.5 - contrast / 2, 0.5 + contrast / 2), sigma
    )
    # The measure itself smooths by 0.7 px, and variances of Gaussians add up.
    expected = 1 / math.sqrt(sigma**2 + 0.7**2)
    assert measure(grey(edge)).sharpness == pytest.approx(expected, rel=0.1)


def test_sharpness_falls_with_blur():
    sharpness = [
        measure(grey(ndimage.gaussian_filter(checkerboard(), sigma))).sharpness
        for sigma in (0, 0.5, 1, 1.5, 2, 3, 4)
    ]
    assert np.all(np.diff(sharpness) < 0)
    assert sharpness[-1] < sharpness[0] / 3


def test_dark_photos_are_dark_and_not_blurred():
    found = [measure(grey(checkerboard() * light)) for light in (1, 0.5, 0.25, 0.1)]
    assert np.all(np.diff([m.brightness for m in found]) < 0)
    np.testing.assert_allclose(
        [m.sharpness for m in found], found[0].sharpness, rtol=0.05
    )


@pytest.mark.parametrize("height, width", [(64, 64), (128, 128), (512, 512)])
def test_size_of_the_photo_hardly_matters(height, width):
    y, x = np.mgrid[:256, :256] / 256

    def scene(y, x):
        disc = 1 / (1 + np.exp((np.hypot(y - 0.5, x - 0.5) - 0.3) / 0.02))
        stripes = 0.1 * np.sin(2 * np.pi * 6 * x)
        return 0.2 + disc * (0.5 + stripes)

    expected = measure(grey(scene(y, x)))
    y, x = np.mgrid[:height, :width]
    found = measure(grey(scene((y + 0.5) / height, (x + 0.5) / width)))
    assert found.sharpness == pytest.approx(expected.sharpness, rel=0.1)
    assert found.brightness == pytest.approx(expected.brightness, abs=1)
    assert found.contrast == pytest.approx(expected.contrast, rel=0.05)
    assert found.object_share == pytest.approx(expected.object_share, abs=0.03)


@pytest.mark.parametrize("radius", [6, 20, 40, 60])
@pytest.mark.parametrize("colour", [(200, 30, 30), (90, 120, 110), (0, 0, 0)])
def test_object_share_of_discs(radius, colour):
    photo = np.full((SIDE, SIDE, 3), 150, np.uint8)
    photo[np.hypot(ROWS - 63.5, COLUMNS - 63.5) < radius] = colour
    noise = np.random.default_rng(0).normal(0, 3, photo.shape)
    photo = np.clip(photo + noise, 0, 255).astype(np.uint8)
    # The box around a disc of area pi r^2 has 4 r^2.
    share = measure(photo).object_share
    assert share == pytest.approx(4 * radius**2 / SIDE**2, rel=0.1)


def test_object_share_counts_extent_and_leaves_out_specks():
    frame = np.zeros((100, 128))
    frame[10:90, 20] = frame[10:90, 99] = 1  # two threads: 80 rows, 80 columns
    frame[95, 3] = 1  # less than a tenth of a thread
    assert measure(grey(frame)).object_share == 80 * 80 / (100 * 128)


def test_brightness_is_the_lightness_of_the_brightest_twentieth():
    # CIE: L* = 116 Y^(1/3) - 16, and sRGB code 119 has Y = ((119 / 255 + 0.055) /
    # 1.055)^2.4 = 0.1845, so that L* = 50.03.
    photo = np.full((100, 128, 3), 119, np.uint8)
    assert measure(photo).brightness == pytest.approx(50.03, abs=0.01)
    photo[:5] = 255  # 5 %: 95 % are no brighter than code 119
    assert measure(photo).brightness == pytest.approx(50.03, abs=0.01)
    photo[:6] = 255
    assert measure(photo).brightness == pytest.approx(100)
    # Below Y = (6 / 29)^3 the curve is a line: code 5 has Y = 5 / 255 / 12.92.
    dim = measure(np.full((8, 8, 3), 5, np.uint8)).brightness
    assert dim == pytest.approx(5 / 255 / 12.92 * (29 / 3) ** 3)


@pytest.mark.parametrize("turn", range(4))
def test_unevenness_in_stops(turn):
    photo = np.full((SIDE, SIDE, 3), 255, np.uint8)
    photo[:, SIDE // 2 :] = 119
    found = measure(np.rot90(photo, turn)).unevenness
    assert found == pytest.approx(math.log2((1 + 0.01) / (0.1845 + 0.01)), abs=1e-3)


def test_clipped_share_leaves_out_the_background():
    photo = np.full((SIDE, SIDE, 3), 255, np.uint8)
    photo[40:80, 40:80] = 100
    # The square of 40 grows by 4 px on each side; what it grows into is white.
    assert measure(photo).clipped == pytest.approx(1 - 40**2 / 48**2)
    photo = 255 - photo  # black background, grey item
    photo[40:80, 40:50] = (253, 100, 100)
    assert measure(photo).clipped == pytest.approx(40 * 10 / 48**2)


def test_contrast():
    # Half the pixels lie 0.3 above the mean, half 0.3 below.
    assert measure(grey(checkerboard())).contrast == pytest.approx(0.3, abs=0.005)
    # Light that falls off over a wall is no content.
    wall = 0.3 + 0.3 * COLUMNS / SIDE + 0.2 * ROWS / SIDE
    assert measure(grey(wall)).contrast < 0.003
    # Red and blue of about the same luma still differ.
    photo = np.where((checkerboard() > 0.5)[..., None], (120, 0, 0), (0, 0, 255))
    assert measure(photo.astype(np.uint8)).contrast > 0.2


@pytest.mark.parametrize("size", [(1, 1), (60, 80), (128, 128), (1, 300), (500, 1)])
@pytest.mark.parametrize(
    "code, level", [("dark", 0), (None, 128), ("overexposed", 255)]
)
def test_one_colour(size, code, level):
    found = measure(np.full((*size, 3), level, np.uint8))
    assert found.sharpness < 0.01 and found.contrast < 1e-3
    assert found.object_share == 0 and found.unevenness == 0
    limits = Limits.fit(
        [dataclasses.replace(GOOD, brightness=value) for value in (40.0, 60.0)]
    )
    assert set(reason_codes(found, limits)) == {"blank", code} - {None}


def test_one_colour_with_noise():
    noise = np.random.default_rng(0).normal(128, 4, (SIDE, SIDE, 3))
    found = measure(noise.astype(np.uint8))
    assert reason_codes(found, Limits.fit([GOOD])) == ("blank", "dark")


@pytest.mark.parametrize("size", [(60, 80), (80, 60), (4000, 3000), (3, 2), (7, 900)])
def test_any_size(size):
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert all(map(math.isfinite, dataclasses.astuple(measure(photo))))


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_what_is_no_photo(photo):
    with pytest.raises(ValueError, match="photo"):
        measure(photo)


def test_limits_are_quantiles():
    # 21 values from 0 to 20: the 5 % quantile is number 0.05 * 20 = 1, the 95 %
    # quantile number 19, the median 10.
    steps = np.random.default_rng(0).permutation(21)
    found = Limits.fit(
        training(
            sharpness=steps / 10, brightness=steps * 5, unevenness=steps, clipped=steps
        )
    ).by_code
    assert (found["blur"].limit, found["blur"].median) == (0.1, 1.0)
    assert found["blur"].spread == pytest.approx(0.9)
    assert dataclasses.astuple(found["dark"]) == (5, 50, 45)
    assert dataclasses.astuple(found["uneven"]) == (19, 10, 9)
    assert dataclasses.astuple(found["overexposed"]) == (19, 10, 9)
    # A quarter: numbers 5 and 15.
    found = Limits.fit(training(brightness=steps, clipped=steps), 0.25).by_code
    assert (found["dark"].limit, found["overexposed"].limit) == (5, 15)


def test_limits_of_equal_photos_leave_room():
    limits = Limits.fit([GOOD] * 3)
    assert dataclasses.astuple(limits.by_code["dark"]) == (75, 80, 5)
    assert limits.by_code["overexposed"].limit == 0.05
    assert reasons(GOOD, limits) == ()
    almost = dataclasses.replace(GOOD, brightness=75.0, clipped=0.05)
    assert reasons(almost, limits) == ()


def test_photos_are_blank_in_an_absolute_sense():
    contrast = np.arange(21) / 100 + 0.2  # quantile 0.21, median 0.3
    limits = Limits.fit(training(contrast=contrast))
    assert limits.by_code["blank"].limit == 0.03
    assert limits.by_code["blank"].spread == pytest.approx(0.09)
    poor = dataclasses.replace(GOOD, contrast=0.04)
    assert reason_codes(poor, limits) == ()


@pytest.mark.parametrize("share", [0, 0.5, -1, math.nan])
def test_wrong_limits(share):
    with pytest.raises(ValueError, match="share must lie between 0 and 0.5"):
        Limits.fit([GOOD], share)
    with pytest.raises(ValueError, match="at least one photo"):
        Limits.fit([])


def test_reasons_come_worst_first():
    steps = np.arange(21)
    limits = Limits.fit(
        training(sharpness=steps / 10, brightness=steps * 5, clipped=steps / 20)
    )
    # In spreads from the median: blur (1 - 0.05) / 0.9 = 1.06, dark (50 - 1) / 45 =
    # 1.09, overexposed (0.98 - 0.5) / 0.45 = 1.07.
    bad = dataclasses.replace(GOOD, sharpness=0.05, brightness=1.0, clipped=0.98)
    assert reason_codes(bad, limits) == ("dark", "overexposed", "blur")
    assert reasons(bad, limits) == tuple(
        TEXTS[code] for code in ("dark", "overexposed", "blur")
    )
    bad = dataclasses.replace(bad, sharpness=0.0, object_share=0.3)
    # Blur (1 - 0) / 0.9 = 1.11; small (0.6 - 0.3) / 0.05 = 6, by the smallest spread.
    assert reason_codes(bad, limits) == ("small", "blur", "dark", "overexposed")


def test_json_round_trip():
    steps = np.arange(7) / 7
    limits = Limits.fit(training(sharpness=steps, brightness=steps, contrast=steps))
    saved = json.loads(json.dumps(limits.to_json(), allow_nan=False))
    assert Limits.from_json(saved) == limits
    assert set(saved) == set(TEXTS)
    # Limits of an older version, and of a newer one.
    del saved["uneven"]
    saved["scratched"] = saved["blur"]
    assert set(Limits.from_json(saved).by_code) == set(TEXTS) - {"uneven"}


@pytest.mark.skipif(not PHOTOS.exists(), reason="real photos are not at hand")
def test_real_photos():
    photos = []
    with tarfile.open(PHOTOS) as archive:
        for member in archive:
            photos.append(images.decode(archive.extractfile(member).read()))
            if len(photos) == 400:
                break
    limits = Limits.fit(measure(photo) for photo in photos[::2])
    others = photos[1::2]
    found = [reason_codes(measure(photo), limits) for photo in others]
    for code in TEXTS:
        assert np.mean([code in codes for codes in found]) <= 0.1, code

    def share(code, change):
        found = [reason_codes(measure(change(photo)), limits) for photo in others[::2]]
        return np.mean([code in codes for codes in found])

    def darkened(photo):
        return (photo * 0.4).astype(np.uint8)  # about a sixth of the light

    def farther(photo):
        """Puts the photo at half its size on a sheet of its border's colour."""
        height, width = photo.shape[:2]
        border = np.concatenate([photo[0], photo[-1], photo[:, 0], photo[:, -1]])
        sheet = np.empty_like(photo)
        sheet[:] = np.median(border, 0)
        small = Image.fromarray(photo).resize((width // 2, height // 2))
        top, left = height // 4, width // 4
        sheet[top : top + height // 2, left : left + width // 2] = small
        return sheet

    assert share("blur", lambda photo: blurred(photo, 1)) > 0.8
    assert share("blur", lambda photo: blurred(photo, 2)) > 0.95
    assert share("dark", darkened) > 0.9
    assert share("small", farther) > 0.8
