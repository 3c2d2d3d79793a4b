import numpy as np
import pytest

from common.data.configs import PhotosConfig
from common.text.encoder import TextEncoder
from ican.generated import catalogue, pointing, rings, titles


def cells_of(found):
    """The cells of each row that are on the stone."""
    return [np.flatnonzero(row).tolist() for row in found]


def test_cells_are_counted_in_the_crop(monkeypatch):
    truth = {
        "x": np.array([0.5, 0.30, 0.05, np.nan]),
        "y": np.array([0.5, 0.90, 0.50, np.nan]),
        "radius": np.array([0.01, 0.01, 0.01, np.nan]),
    }
    monkeypatch.setattr(rings, "truth", lambda config, numbers: truth)
    # 100 pixels, of which 10 to 90 are cut out: 80 pixels, 4 x 4 cells of 20.
    photos = PhotosConfig(resize=100, crop=80)
    cells = pointing.stone_cells(None, photos, np.arange(4), side=4)
    # (50 - 10) / 20 = 2, 2; y 90 is outside; x 5 is outside; no stone.
    assert cells_of(cells) == [[2 * 4 + 2], [], [], []]
    whole = PhotosConfig(resize=100, crop=100)
    cells = pointing.stone_cells(None, whole, np.arange(4), side=4)
    assert cells_of(cells) == [[2 * 4 + 2], [3 * 4 + 1], [2 * 4 + 0], []]


def test_a_large_stone_covers_the_cells_whose_middle_it_covers(monkeypatch):
    truth = {"x": np.array([0.5]), "y": np.array([0.30]), "radius": np.array([0.15])}
    monkeypatch.setattr(rings, "truth", lambda config, numbers: truth)
    # Cells of 10 pixels with middles at 5, 15, ...; the stone's middle is x 50, y 30,
    # its radius 15. |dx| is 5 or 15, |dy| is 5 or 15; 5 and 15 make 15.8, so only
    # x 45, 55 with y 25, 35 are within it.
    photos = PhotosConfig(resize=100, crop=100)
    cells = pointing.stone_cells(None, photos, np.arange(1), side=10)
    assert cells_of(cells) == [[24, 25, 34, 35]]
    # Of the crop 10 to 90 the same pixels are 8 x 8 cells that begin at 10.
    cut = PhotosConfig(resize=100, crop=80)
    cells = pointing.stone_cells(None, cut, np.arange(1), side=8)
    assert cells_of(cells) == [[1 * 8 + 3, 1 * 8 + 4, 2 * 8 + 3, 2 * 8 + 4]]


def test_hits_are_peaks_on_the_stone():
    attention = np.zeros((4, 2, 9))
    attention[0, :, 4] = 1.0
    attention[1, 0, 2], attention[1, 1, 3] = 0.4, 0.9  # the mean peaks at 3
    attention[2, :, 0] = 1.0
    attention[3, :, 8] = 1.0
    stones, train = np.zeros((4, 9), bool), np.zeros((4, 9), bool)
    stones[[0, 1, 1, 2], [4, 3, 6, 1]] = True
    train[[0, 1, 2, 2], [1, 4, 4, 5]] = True  # the constant is 4
    found = pointing.pointing_scores(attention, stones, train)
    assert found["pointing"] == pytest.approx(2 / 3)
    assert found["pointing_prior"] == pytest.approx(1 / 3)


def test_stones_of_real_rings_lie_where_they_are_drawn():
    config = rings.RingsConfig(pixels=96)
    numbers = np.arange(40)
    photos = PhotosConfig(resize=96, crop=96)
    cells = pointing.stone_cells(config, photos, numbers, side=3)
    truth = rings.truth(config, numbers)
    known = ~np.isnan(truth["x"])
    assert cells[known].any(1).all() and not cells[~known].any()
    columns = np.floor(truth["x"][known] * 3).astype(int)
    rows = np.floor(truth["y"][known] * 3).astype(int)
    assert cells[known, rows * 3 + columns].all()


def test_words_that_count_by_hand():
    encoder = TextEncoder.fit(
        ["nice signed ring", "signed ring nice signed ring", "nice ring", "modern"]
    )
    # "modern" stands in one title only, so that it has no entry of its own.
    assert set(encoder.terms) == {
        *("nice", "ring", "signed", "signed ring", "nice signed")
    }
    encoded = encoder.encode(["nice signed ring", "ring nice", "modern nice", ""])
    names = encoder.name_entries("nice signed ring")
    found = pointing.telling_entries(encoder, encoded["ids"])
    assert found.shape == encoded["ids"].shape
    assert names == ["nice", "nice signed", "signed", "signed ring", "ring"]
    assert found[0].tolist() == [False, True, True, True, False]
    assert not found[1:].any()


def test_words_that_count_are_where_the_truth_says():
    config = rings.RingsConfig(titles=True)
    texts = titles.sample(config.seed, np.arange(1500)).write()
    encoder = TextEncoder.fit(texts)
    encoded = encoder.encode(texts)
    found = pointing.telling_entries(encoder, encoded["ids"])
    place = rings.truth(config, np.arange(1500))["telling_word"][:, None]
    # The word itself begins there; a pair that holds it begins there or one before.
    word = np.isin(encoded["ids"], telling_ids(encoder))
    np.testing.assert_array_equal(word.sum(1), 1)
    np.testing.assert_array_equal(encoded["positions"][word], place[:, 0])
    offset = (encoded["positions"] - place)[found]
    assert set(offset) == {-1, 0} and (word <= found).all()
    assert found.sum(1).max() == 3
    # Attention that knows the words always hits; no place of the text does by itself.
    knowing = word[:, None].astype(float)
    scores = pointing.pointing_scores(knowing, found, found, "word_pointing")
    assert scores["word_pointing"] == 1
    assert 0.05 < scores["word_pointing_prior"] < 0.25


def telling_ids(encoder):
    words = encoder.encode(list(catalogue.TELLING.names))
    return words["ids"][:, 0]
