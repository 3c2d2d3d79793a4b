"""Crops and sizes."""

import numpy as np
import pytest

from common.data import transforms


def numbered(height, width):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, rows * 0], -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "pixels", "expected"),
    [
        ((40, 60), 20, (20, 30)),
        ((60, 40), 20, (30, 20)),
        ((10, 10), 25, (25, 25)),
        ((3, 1000), 7, (7, 2333)),
        ((99, 100), 98, (98, 99)),
    ],
)
def test_resize_shorter_keeps_the_shape(shape, pixels, expected):
    resized = transforms.resize_shorter(numbered(*shape), pixels)
    assert resized.shape == (*expected, 3)


def test_resize_averages_over_the_area():
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 4:] = 200
    resized = transforms.resize(image, (1, 2))
    # A triangle of twice the new pixel's width stands over pixel centre 2 and reaches
    # into the other half: of its weights 5 7 7 5 | 3 1, 4 of 28 lie there.
    expected = round(200 * 4 / 28)
    np.testing.assert_allclose(resized[0, :, 0], [expected, 200 - expected], atol=1)
    assert transforms.resize(image, (4, 8)) is image


def test_centre_crop_takes_the_middle():
    crop = transforms.centre_crop(numbered(7, 10), (3, 4))
    np.testing.assert_array_equal(crop[:, 0, 0], [2, 3, 4])
    np.testing.assert_array_equal(crop[0, :, 1], [3, 4, 5, 6])


def test_random_crop_covers_every_place_evenly():
    image = numbered(5, 6)
    rng = np.random.default_rng(0)
    counts = np.zeros((3, 3), int)
    for _ in range(1800):
        crop = transforms.random_crop(image, (3, 4), rng)
        assert crop.shape == (3, 4, 3)
        top, left, _ = crop[0, 0]
        np.testing.assert_array_equal(crop, image[top : top + 3, left : left + 4])
        counts[top, left] += 1
    # 200 each, standard deviation 13
    assert abs(counts - 200).max() < 60


def test_random_flip_mirrors_half_of_the_time():
    image = numbered(2, 5)
    rng = np.random.default_rng(1)
    flipped = 0
    for _ in range(400):
        result = transforms.random_flip(image, rng)
        if result[0, 0, 1] == 4:
            np.testing.assert_array_equal(result[0, :, 1], [4, 3, 2, 1, 0])
            flipped += 1
        else:
            np.testing.assert_array_equal(result, image)
    assert 150 < flipped < 250


def test_the_same_rng_gives_the_same_picture():
    image = np.random.default_rng(2).integers(0, 256, (30, 30, 3), np.uint8)

    def draw(seed):
        rng = np.random.default_rng(seed)
        return transforms.random_flip(transforms.random_crop(image, (9, 9), rng), rng)

    np.testing.assert_array_equal(draw(3), draw(3))
    assert any((draw(3) != draw(seed)).any() for seed in range(4, 8))


def test_windows_larger_than_the_image_are_refused():
    for cut in (
        lambda image: transforms.centre_crop(image, (5, 2)),
        lambda image: transforms.random_crop(image, (2, 6), np.random.default_rng(0)),
    ):
        with pytest.raises(ValueError, match="can't cut"):
            cut(numbered(4, 5))
