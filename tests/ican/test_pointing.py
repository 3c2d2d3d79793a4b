import numpy as np
import pytest

from common.data.crops import PhotosConfig
from ican import pointing, rings


def test_cells_are_counted_in_the_crop(monkeypatch):
    truth = {
        "x": np.array([0.5, 0.30, 0.05, np.nan]),
        "y": np.array([0.5, 0.90, 0.50, np.nan]),
    }
    monkeypatch.setattr(rings, "truth", lambda config, numbers: truth)
    # 100 pixels, of which 10 to 90 are cut out: 80 pixels, 4 x 4 cells of 20.
    photos = PhotosConfig(resize=100, crop=80)
    cells = pointing.stone_cells(None, photos, np.arange(4), side=4)
    # (50 - 10) / 20 = 2, 2; y 90 is outside; x 5 is outside; no stone.
    assert cells.tolist() == [2 * 4 + 2, -1, -1, -1]
    whole = PhotosConfig(resize=100, crop=100)
    cells = pointing.stone_cells(None, whole, np.arange(4), side=4)
    assert cells.tolist() == [2 * 4 + 2, 3 * 4 + 1, 2 * 4 + 0, -1]


def test_hits_are_peaks_on_the_stone():
    attention = np.zeros((4, 2, 9))
    attention[0, :, 4] = 1.0
    attention[1, 0, 2], attention[1, 1, 3] = 0.4, 0.9  # the mean peaks at 3
    attention[2, :, 0] = 1.0
    attention[3, :, 8] = 1.0
    stones = np.array([4, 3, 1, -1])
    found = pointing.pointing_scores(attention, stones, np.array([1, 4, 4, -1]))
    assert found["pointing"] == pytest.approx(2 / 3)
    assert found["pointing_prior"] == pytest.approx(1 / 3)


def test_stones_of_real_rings_lie_where_they_are_drawn():
    config = rings.RingsConfig(pixels=96)
    numbers = np.arange(40)
    photos = PhotosConfig(resize=96, crop=96)
    cells = pointing.stone_cells(config, photos, numbers, side=3)
    truth = rings.truth(config, numbers)
    known = ~np.isnan(truth["x"])
    assert (cells[known] >= 0).all() and (cells[~known] == -1).all()
    columns = np.floor(truth["x"][known] * 3)
    np.testing.assert_array_equal(cells[known] % 3, columns)
