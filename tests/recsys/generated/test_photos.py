import numpy as np
import pytest

from recsys.generated import latents as closet_latents
from recsys.generated import photos
from recsys.generated.parameters import ClosetConfig

CONFIG = ClosetConfig(feature_width=256)
IDS = np.arange(3000)
PHOTOS = photos.features(CONFIG, IDS)


def explained(features, wanted):
    """R2 of the best linear map on the last third, from the first two thirds."""
    inputs = np.c_[features.astype(float), np.ones(len(features))]
    cut = 2 * len(inputs) // 3
    penalty = 1e-3 * np.trace(inputs[:cut].T @ inputs[:cut]) / inputs.shape[1]
    square = inputs[:cut].T @ inputs[:cut] + penalty * np.eye(inputs.shape[1])
    weights = np.linalg.solve(square, inputs[:cut].T @ wanted[:cut])
    errors = wanted[cut:] - inputs[cut:] @ weights
    return 1 - np.mean(errors**2) / np.mean((wanted[cut:] - wanted[:cut].mean(0)) ** 2)


def most_frequent_leaf(config, count=30_000):
    """Items of the leaf that has most."""
    items = closet_latents.sample_items(config, np.arange(count))
    return np.flatnonzero(items.leaf == np.bincount(items.leaf).argmax())


def test_features_are_like_those_of_a_network():
    assert PHOTOS.dtype == np.float16 and PHOTOS.shape == (3000, 256)
    assert PHOTOS.min() == 0 and 0.2 < np.mean(PHOTOS == 0) < 0.6
    norms = np.linalg.norm(PHOTOS.astype(float), axis=1)
    assert norms.mean() == pytest.approx(30, rel=0.1) and norms.std() < 6


@pytest.mark.parametrize("width", [32, 75, 2048])
def test_the_norm_is_the_same_for_any_width(width):
    found = photos.features(ClosetConfig(feature_width=width), IDS[:300])
    assert found.shape == (300, width)
    norm = np.linalg.norm(found.astype(float), axis=1).mean()
    assert norm == pytest.approx(30, rel=0.12)


def test_a_photo_is_the_same_in_any_company():
    wanted = np.array([2999, 7, 300])
    np.testing.assert_array_equal(photos.features(CONFIG, wanted), PHOTOS[wanted])
    alone = photos.features(CONFIG, wanted[:1])
    np.testing.assert_array_equal(alone, PHOTOS[2999:])
    assert photos.features(CONFIG, wanted[:0]).shape == (0, 256)


@pytest.mark.parametrize("width", [100, 8192])
def test_float32_sums_are_exact(width):
    """Else a photo would depend on how many are made at once."""
    items = closet_latents.sample_items(CONFIG, IDS[:40])
    latents = photos._latents(CONFIG, items)
    mapping = photos._feature_map(CONFIG.seed, width)
    exact = latents.astype(float) @ mapping.astype(float)
    np.testing.assert_array_equal(latents @ mapping, exact)
    assert np.all(np.abs(latents).astype(float) @ np.abs(mapping).astype(float) < 512)


def test_a_million_items_need_no_room():
    found = photos.features(CONFIG, np.array([4_999_999]))
    assert found.shape == (1, 256) and found.max() > 0


@pytest.mark.parametrize("switch", ["uniqueness", "hierarchy", "user_side", "drift"])
def test_other_switches_leave_the_photos(switch):
    config = ClosetConfig(feature_width=256, **{switch: False})
    found = photos.features(config, IDS[:50])
    np.testing.assert_array_equal(found, PHOTOS[:50])


def test_photos_show_the_look_by_leaf():
    chosen = most_frequent_leaf(CONFIG)
    looks = closet_latents.sample_items(CONFIG, chosen).look
    assert explained(photos.features(CONFIG, chosen), looks) > 0.9
    # One map for all leaves reads far less.
    everywhere = closet_latents.sample_items(CONFIG, IDS).look
    assert 0.15 < explained(PHOTOS, everywhere) < 0.5


def test_without_leaf_style_one_map_reads_the_look():
    config = ClosetConfig(feature_width=256, leaf_style=False)
    looks = closet_latents.sample_items(config, IDS).look
    assert explained(photos.features(config, IDS), looks) > 0.9
    np.testing.assert_array_equal(photos.common_map(config), np.eye(8))


def test_without_visual_style_photos_tell_nothing_of_the_look():
    config = ClosetConfig(feature_width=256, visual_style=False)
    chosen = most_frequent_leaf(config)
    items = closet_latents.sample_items(config, chosen)
    found = photos.features(config, chosen)
    assert explained(found, np.c_[items.look, items.quality]) < 0.02
    # They still look alike.
    assert found.astype(float).std() == pytest.approx(
        PHOTOS.astype(float).std(), rel=0.1
    )


def test_photos_show_quality_and_category():
    items = closet_latents.sample_items(CONFIG, IDS)
    assert explained(PHOTOS, items.quality[:, None]) > 0.6
    needs = closet_latents.needs("men", 0, True)["middle"][items.leaf]
    assert explained(PHOTOS, needs) > 0.55


def test_turns_are_rotations_and_those_of_siblings_are_alike():
    turns = photos.turns("men", 0)
    products = turns @ turns.transpose(0, 2, 1)
    np.testing.assert_allclose(
        products, np.broadcast_to(np.eye(8), products.shape), atol=1e-12
    )
    nodes = closet_latents.branches("men").nodes
    like = np.einsum("aij,bij->ab", turns, turns) / 8
    siblings = nodes[:, None, 1] == nodes[:, 1]
    others = ~np.eye(len(like), dtype=bool)
    assert like[siblings & others].mean() > like[~siblings].mean() + 0.1


def test_the_common_map_is_the_best_for_turned_looks():
    items = closet_latents.sample_items(CONFIG, np.arange(60_000))
    shown = photos.shown_looks(CONFIG, items)
    best = np.linalg.lstsq(shown, items.look, rcond=None)[0].T
    np.testing.assert_allclose(photos.common_map(CONFIG), best, atol=0.03)
