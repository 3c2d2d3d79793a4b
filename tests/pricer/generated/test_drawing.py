import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageFilter

from common.data import generated
from pricer.generated import catalogue, drawing, latents
from pricer.generated.latents import COVERS
from pricer.generated.parameters import DEFECTS, BazaarConfig

CLEAN = BazaarConfig(**dict.fromkeys(DEFECTS, False))
GOOD = latents.sample(CLEAN, np.arange(1200))


def only(defect):
    """Items with one defect, on all of them."""
    off = dict.fromkeys(DEFECTS, False) | {defect: True, f"{defect}_share": 1.0}
    return latents.sample(BazaarConfig(**off), np.arange(300))


BAD = {defect: only(defect) for defect in DEFECTS}


def draw(items, number, pixels=64, **changes):
    """Draws the item of a row, with facts changed; float [P, P, 3]."""
    changed = {}
    for name, value in changes.items():
        changed[name] = getattr(items, name).copy()
        changed[name][number] = value
    items = dataclasses.replace(items, **changed)
    source = generated.generator(0, number, stream=1)
    return drawing.draw(items, number, pixels, source).astype(float)


def moved(items, number, before, after, level=24):
    """How many pixels move by more than some levels when facts change."""
    first, second = draw(items, number, **before), draw(items, number, **after)
    return np.sum(np.abs(first - second).max(axis=2) > level)


def test_the_same_item_is_drawn_again_bit_for_bit():
    first = draw(GOOD, 5)
    assert first.shape == (64, 64, 3)
    np.testing.assert_array_equal(first, draw(GOOD, 5))
    assert np.mean(first != draw(GOOD, 6)) > 0.5


@pytest.mark.parametrize("pixels", [16, 64, 96, 200])
def test_a_small_photo_looks_like_a_large_one(pixels):
    for number in range(3):
        large = Image.fromarray(draw(GOOD, number, 256).astype(np.uint8))
        box = large.resize((pixels, pixels), Image.Resampling.BOX)
        difference = np.abs(np.asarray(box).astype(float) - draw(GOOD, number, pixels))
        # Grain of 2.5 levels and the width of the thinnest lines.
        assert difference.mean() < 6


@pytest.mark.parametrize(
    "fact, values",
    [
        ("brand", (0, 1)),  # of one colour
        ("material", (0, 1)),
        ("grade", (0, 3)),
        ("pack", (False, True)),
        ("receipt", (False, True)),
        ("condition", (0, 3)),
    ],
)
def test_a_fact_is_seen_in_good_photos_and_not_in_bad_ones(fact, values):
    base = {"brand": 0, "material": 0, "condition": 0, "colour": 4}
    before, after = base | {fact: values[0]}, base | {fact: values[1]}

    # Clothes, which all have room for what is drawn on them.
    numbers = np.flatnonzero(GOOD.item_class[:300] == 0)[:8]
    seen = [moved(GOOD, number, before, after) for number in numbers]
    assert min(seen) >= 15, seen
    for defect, items in BAD.items():
        left = [moved(items, number, before, after) for number in numbers]
        assert np.mean(left) < 0.06 * np.mean(seen), (defect, left, seen)


@pytest.mark.parametrize(
    "fact", ["brand", "material", "grade", "pack", "receipt", "condition"]
)
@pytest.mark.parametrize("defect", ["clutter", "missing_information"])
def test_what_lies_hidden_leaves_no_trace(defect, fact):
    items = BAD[defect]
    for number in range(3):
        first, second = (draw(items, number, 224, **{fact: v}) for v in (0, 1))
        np.testing.assert_array_equal(first, second)


def test_a_blurred_photo_has_no_edges():
    def edges(items, number):
        # Of pairs of pixels, in which the grain is weaker.
        grey = draw(items, number, 64).mean(axis=2).reshape(32, 2, 32, 2).mean((1, 3))
        return np.mean(np.abs(np.diff(grey, axis=0)))

    for number in range(10):
        assert edges(BAD["blur"], number) < 0.5 * edges(GOOD, number)


@pytest.mark.parametrize("pixels", [64, 224])
def test_patterns_do_not_change_the_mean_colour(pixels):
    """So that a blurred photo tells no material."""
    items = latents.sample(CLEAN, np.arange(40))
    items.looks.blur[:] = 0.0
    for number in np.flatnonzero(items.item_class == 8)[:4]:
        for colour in (1, 4):  # a dark and a bright one
            facts = {"colour": colour, "condition": 0}
            photos = [draw(items, number, pixels, material=m, **facts) for m in (0, 1)]
            change = np.abs(photos[0].mean((0, 1)) - photos[1].mean((0, 1)))
            assert change.max() < 2.5
            assert np.abs(photos[0] - photos[1]).mean() > 2 * change.max()


def test_a_dark_photo_is_dark_where_the_item_is():
    for number in range(20):
        good, bad = draw(GOOD, number), draw(BAD["darkness"], number)
        middle = np.s_[24:40, 24:40]
        assert bad[middle].mean() < 0.35 * good[middle].mean()
    lamps = BAD["darkness"].looks.lamp
    assert np.mean(lamps > 0) == pytest.approx(0.7, abs=0.1)
    # A lamp lights a corner, so that the darkest photos are not the only bad ones.
    lit = int(np.argmax(lamps))
    assert draw(BAD["darkness"], lit).max(axis=2).max() > 150


def test_a_cluttered_photo_is_full_of_other_things():
    def colours(items, number):
        """How many different colours there are, of 512."""
        levels = (draw(items, number) // 32).astype(int).reshape(-1, 3)
        counts = np.bincount(levels @ (64, 8, 1), minlength=512)
        return np.sum(counts > 15)

    bad = [colours(BAD["clutter"], number) for number in range(20)]
    good = [colours(GOOD, number) for number in range(20)]
    assert np.mean(bad) > 1.3 * np.mean(good)


def test_hidden_items_look_hidden():
    """Boxes and bags are much alike whatever is in them; backs keep their colour."""
    items = BAD["missing_information"]
    assert set(items.looks.cover) == {1, 2, 3}
    for name, most in (("back", None), ("bag", 0.3), ("box", 0.1)):
        number = int(np.flatnonzero(items.looks.cover == COVERS.index(name))[0])
        first, second = (draw(items, number, colour=which) for which in (3, 5))
        share = np.mean(np.abs(first - second).max(axis=2) > 24)
        assert share > 0.05 if most is None else share < most


def test_the_brands_of_a_class_look_different():
    number = int(np.flatnonzero(GOOD.item_class == 0)[0])
    served = np.flatnonzero(catalogue.BRAND_SHARES[0])
    photos = np.stack([draw(GOOD, number, brand=brand) for brand in served])
    gaps = np.abs(photos[:, None] - photos[None]).max(axis=-1) > 40  # [b, b, P, P]
    counts = gaps.sum(axis=(2, 3)) + 1000 * np.eye(len(served), dtype=int)
    assert counts.min() >= 12


def test_categories_are_told_by_their_shapes(capsys):
    """The nearest centroid of edge maps, on photos without a defect."""

    def edge_map(number):
        grey = draw(GOOD, number, 32).mean(axis=2)
        steps = np.hypot(*np.gradient(grey))
        return Image.fromarray(steps.astype(np.float32)).reduce(2)

    maps = np.stack([np.asarray(edge_map(n)).ravel() for n in range(1200)])
    maps = maps / np.linalg.norm(maps, axis=1, keepdims=True)
    labels, known = GOOD.category, slice(0, 1000)
    present = np.unique(labels[known])
    centroids = np.stack([maps[known][labels[known] == k].mean(0) for k in present])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    chosen = present[np.argmax(maps[1000:] @ centroids.T, axis=1)]
    share = np.mean(chosen == labels[1000:])
    with capsys.disabled():
        print(f"\nbazaar: nearest centroids tell {share:.2f} of 65 categories")
    assert share > 4 * catalogue.CATEGORY.shares.max()


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_switch_changes_no_photo_without_the_defect(defect):
    whole = latents.sample(BazaarConfig(), np.arange(40))
    rest = latents.sample(BazaarConfig(**{defect: False}), np.arange(40))
    had = whole.defects[defect]
    assert 0 < had.sum() < 12
    for number in range(40):
        same = np.array_equal(draw(whole, number, 32), draw(rest, number, 32))
        assert same == (not had[number])


def test_a_blurred_photo_shows_the_scene_of_the_clear_one():
    for number in range(6):
        sharp, blurred = draw(GOOD, number), draw(BAD["blur"], number)
        radius = 64 * float(BAD["blur"].looks.blur[number])
        image = Image.fromarray(sharp.astype(np.uint8))
        again = np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), float)
        # What is left is grain.
        assert np.abs(again - blurred).mean() < 4
