import dataclasses

import numpy as np
import pytest
from PIL import Image

from common.data import generated
from ican.generated import drawing as ring_drawing
from ican.generated import latents
from ican.generated.catalogue import FAMILIES
from ican.generated.parameters import RingsConfig
from ican.generated.stones import _STONE_RGB

CONFIG = RingsConfig()
MANY = latents.sample(CONFIG, np.arange(300))


def draw(index, pixels, colour="yellow", **changes):
    looks = dataclasses.replace(MANY.appearance[index], **changes)
    source = generated.generator(CONFIG.seed, index, stream=1)
    return ring_drawing.draw(looks, colour, pixels, source)


def patch(drawing, stone, share=0.5):
    """The pixels within a share of a stone's radius, as float [M, 3]."""
    size = len(drawing.image)
    cells = (np.arange(size) + 0.5) / size
    x, y = drawing.centres[stone]
    away = np.hypot(cells[None, :] - x, cells[:, None] - y)
    return drawing.image[away < share * drawing.radii[stone]].astype(float)


def test_the_same_ring_is_drawn_again_bit_for_bit():
    first, second = draw(5, 96), draw(5, 96)
    assert first.image.shape == (96, 96, 3) and first.image.dtype == np.uint8
    np.testing.assert_array_equal(first.image, second.image)
    assert np.mean(first.image != draw(6, 96).image) > 0.5


@pytest.mark.parametrize("pixels", [16, 64, 96, 192, 200])
def test_a_small_photo_looks_like_a_large_one(pixels):
    for index in range(4):
        large, small = draw(index, 512), draw(index, pixels)
        np.testing.assert_array_equal(small.centres, large.centres)
        box = Image.fromarray(large.image).resize(
            (pixels, pixels), Image.Resampling.BOX
        )
        difference = np.abs(np.asarray(box).astype(float) - small.image)
        assert difference.mean() < 2.5
        assert np.quantile(difference, 0.99) < 40


@pytest.mark.parametrize("pixels", [64, 512])
def test_stones_are_where_the_truth_says_in_the_colour_of_their_family(pixels):
    """Vivid stones: the nearest colour of the nine, whites and the milky as one."""
    right, total = 0, 0
    for index in range(40):
        drawing = draw(index, pixels, quality=np.full(3, 1.2))
        for stone, family in enumerate(MANY.appearance.family[index]):
            if family < 0 or np.any(np.abs(drawing.centres[stone] - 0.5) > 0.42):
                continue
            colour = np.median(patch(drawing, stone), axis=0) / 255
            hue = colour / colour.sum()
            known = _STONE_RGB / _STONE_RGB.sum(axis=1, keepdims=True)
            nearest = np.argmin(np.sum((known - hue) ** 2, axis=1))
            right += FAMILIES[nearest] == FAMILIES[family] or (
                max(nearest, family) <= 1
            )
            total += 1
    assert total > 80
    assert right / total > 0.9


@pytest.mark.parametrize("pixels", [64, 96, 512])
def test_quality_is_seen_at_any_size(pixels):
    """Distance of a stone's colours from dull grey tells vivid from dull."""
    measure, quality = [], []
    dull = np.array([158.0, 153.0, 143.0])
    for index in range(60):
        drawing = draw(index, pixels)
        for stone in range(3):
            inside = np.all(np.abs(drawing.centres[stone] - 0.5) < 0.42)
            if inside and MANY.appearance.family[index, stone] >= 2:
                away = np.linalg.norm(patch(drawing, stone, 0.7) - dull, axis=1)
                measure.append(np.mean(away))
                quality.append(MANY.appearance.quality[index, stone])
    assert np.corrcoef(measure, quality)[0, 1] > 0.6


def test_quality_of_one_stone_changes_that_stone_only():
    vivid = draw(3, 128, quality=np.array([1.5, 0.0, 0.0]))
    dull = draw(3, 128, quality=np.array([-1.5, 0.0, 0.0]))
    changed = np.argwhere(np.any(vivid.image != dull.image, axis=-1)) / 128
    away = np.hypot(*(changed[:, ::-1] - vivid.centres[0]).T)
    assert len(changed) > 50
    assert away.max() < 1.4 * vivid.radii[0]


@pytest.mark.parametrize(
    "change",
    [
        {"design": 0},
        {"design": 1},
        {"design": 2},
        {"design": 3},
        {"design": 4},
        {"polish": np.float64(-1.7)},
        {"polish": np.float64(1.7)},
        {"thickness": np.float64(2.0)},
        {"scratches": 3},
    ],
)
def test_what_is_worth_something_can_be_seen(change):
    base = {"design": 0, "polish": np.float64(0.0), "thickness": np.float64(-1.0)}
    base |= {"scratches": 0}
    before, after = draw(2, 96, **base), draw(2, 96, **(base | change))
    moved = np.abs(before.image.astype(float) - after.image).mean()
    if change == {"design": 0}:
        assert moved == 0
    else:
        assert moved > (0.05 if "scratches" in change else 0.4)


def test_switched_off_the_listed_stone_is_in_the_middle_of_every_photo():
    rings = latents.sample(RingsConfig(off_centre=False), np.arange(20))
    for index in range(20):
        places = ring_drawing.Placement(rings.appearance[index])
        np.testing.assert_allclose(places.centres[0], [0.5, 0.5], atol=1e-12)
        # The band hangs straight above it, the other stones to both sides.
        np.testing.assert_allclose(places.centres[1:, 0].mean(), 0.5)


def test_switched_on_the_centre_is_a_poor_guess_but_no_hopeless_one():
    places = [ring_drawing.Placement(MANY.appearance[i]) for i in range(300)]
    centres = np.array([p.centres[0] for p in places])
    radii = np.array([p.radii[0] for p in places])
    hits = np.mean(np.hypot(*(centres - 0.5).T) < radii)
    assert 0.1 < hits < 0.4
    stones = np.array([p.centres for p in places])
    assert np.all((stones > 0.02) & (stones < 0.98))


def test_a_stone_keeps_its_cut_wherever_it_is_set():
    """Two outer stones change places on a straight ring: so do their outlines."""
    straight = {"turn": np.float64(0), "quality": np.zeros(3), "diameter": np.zeros(3)}
    here = draw(7, 192, place=np.array([0, -1, 1]), **straight)
    there = draw(7, 192, place=np.array([0, 1, -1]), **straight)
    for stone in (1, 2):
        one, other = patch(here, stone, 0.8), patch(there, stone, 0.8)
        means = one.mean(axis=0), other.mean(axis=0)
        np.testing.assert_allclose(*means, atol=6)
        np.testing.assert_allclose(one.std(axis=0), other.std(axis=0), atol=6)


def test_metals_differ():
    means = [
        draw(2, 96, colour).image.mean(axis=(0, 1)) for colour in ring_drawing.METAL_RGB
    ]
    for i, one in enumerate(means):
        for other in means[:i]:
            assert np.abs(one - other).max() > 1
