import numpy as np
import pytest

from ican.generated import latents, values
from ican.generated.parameters import ATTRIBUTES_PARTS, RingsConfig
from tests.ican.generated.expectations import expected_log_prices

VIEWS = [(False, True), (True, False), (True, True)]


def sample(count=20_000, **options):
    config = RingsConfig(**options)
    rings = latents.sample(config, np.arange(count))
    return config, rings, values.log_prices(config, rings)


def test_seeing_nothing_one_expects_the_mean():
    config, rings, logs = sample()
    expected = expected_log_prices(config, rings, listing=False, photo=False)
    np.testing.assert_allclose(expected, np.log(config.median_price))
    assert np.mean(logs) == pytest.approx(expected[0], abs=0.02)


def test_seeing_all_and_all_right_only_noise_is_left():
    config, rings, logs = sample(500, missing_or_wrong=False)
    expected = expected_log_prices(config, rings, listing=True, photo=True)
    noise = config.spread * np.sqrt(config.noise_share) * rings.noise
    np.testing.assert_allclose(expected, logs - noise)


def test_a_right_listing_alone_tells_the_attributes_effect():
    config, rings, _ = sample(500, missing_or_wrong=False)
    expected = expected_log_prices(config, rings, listing=True, photo=False)
    effects = values.attribute_effects(rings.true)
    worth = values.weigh(effects, ATTRIBUTES_PARTS)
    wanted = np.log(config.median_price) + config.spread * (
        np.sqrt(config.attributes_share) * worth
    )
    np.testing.assert_allclose(expected, wanted)


@pytest.mark.parametrize("listing, photo", VIEWS)
@pytest.mark.parametrize("wrong, missing", [(0.02, 0.04), (0.3, 0.3)])
def test_prices_average_to_what_is_expected(listing, photo, wrong, missing):
    """The mean of y given E[y | seen] is that expectation: slope 1, offset 0."""
    config, rings, logs = sample(wrong_share=wrong, missing_share=missing)
    expected = expected_log_prices(config, rings, listing=listing, photo=photo)
    slope, offset = np.polyfit(expected - logs.mean(), logs - logs.mean(), 1)
    sigma = np.std(logs - expected) / np.std(expected) / np.sqrt(len(logs))
    assert abs(slope - 1) < 3.5 * sigma
    assert abs(offset) < 0.02
    # Also among the dear, where wrong entries stand out.
    dear = expected > np.quantile(expected, 0.9)
    assert np.mean(logs[dear]) == pytest.approx(np.mean(expected[dear]), abs=0.04)


def test_a_missing_attribute_is_worth_its_mean():
    """By hand: unknown metal, nothing else differs."""
    config, rings, _ = sample(300, missing_share=0.0, wrong_share=0.0)
    known = expected_log_prices(config, rings, listing=True, photo=False)
    rings.missing["metal"][:] = True
    unknown = expected_log_prices(config, rings, listing=True, photo=False)
    effect = values.attribute_effects(rings.true)["metal"]
    wanted = config.spread * np.sqrt(config.attributes_share * 0.22) * effect
    np.testing.assert_allclose(known - unknown, wanted, atol=1e-12)


@pytest.mark.parametrize("listing, photo", VIEWS)
def test_what_is_switched_off_moves_no_expectation(listing, photo):
    off = {"photo_only": False, "attributes_only": False, "interactions": False}
    config, rings, _ = sample(200, **off)
    expected = expected_log_prices(config, rings, listing=listing, photo=photo)
    np.testing.assert_allclose(expected, np.log(config.median_price))


def test_without_its_effects_the_photo_adds_nothing_to_a_right_listing():
    config, rings, _ = sample(
        300, photo_only=False, interactions=False, missing_or_wrong=False
    )
    alone = expected_log_prices(config, rings, listing=True, photo=False)
    both = expected_log_prices(config, rings, listing=True, photo=True)
    np.testing.assert_allclose(alone, both)
