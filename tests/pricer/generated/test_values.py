import dataclasses

import numpy as np
import pytest

from pricer.generated import catalogue, latents
from pricer.generated.parameters import (
    ATTRIBUTES_PARTS,
    DEFECTS,
    SHARES,
    SPECIFICATION_PARTS,
    BazaarConfig,
)
from pricer.generated.values import (
    colour_shown,
    expected_errors,
    expected_log_prices,
    expected_squared_errors,
    log_prices,
    terms,
)

COUNT = 20_000
CONFIG = BazaarConfig()
# Numbers of all splits, so that days are spread as the whole set's are.
MANY = latents.sample(CONFIG, np.arange(COUNT))
TERMS = terms(CONFIG, MANY)


@pytest.mark.parametrize("parts", [SHARES, ATTRIBUTES_PARTS, SPECIFICATION_PARTS])
def test_parts_divide_the_whole(parts):
    np.testing.assert_allclose(sum(parts.values()), 1)


def test_effects_take_their_shares_and_are_uncorrelated():
    names = [name for name in SHARES if name != "drift"]
    values = np.stack([TERMS[n] / CONFIG.spread / np.sqrt(SHARES[n]) for n in names])
    # Items of one seller share their effect: few sellers, hence the wide margin.
    np.testing.assert_allclose(values @ values.T / COUNT, np.eye(7), atol=0.05)
    np.testing.assert_allclose(values.mean(axis=1), 0, atol=0.04)


def test_brand_and_material_have_mean_0_and_variance_1_in_every_class():
    for shares, effects in (
        (catalogue.BRAND_SHARES, catalogue.BRAND_EFFECTS),
        (catalogue.MATERIAL_SHARES, catalogue.MATERIAL_EFFECTS),
    ):
        np.testing.assert_allclose(shares.sum(axis=1), 1)
        np.testing.assert_allclose(np.sum(shares * effects, axis=1), 0, atol=1e-12)
        np.testing.assert_allclose(np.sum(shares * effects**2, axis=1), 1)


def test_the_colour_of_a_mark_tells_nothing_of_the_price():
    """In every class the brands of one colour are worth nothing on average."""
    assert len(catalogue.BRANDS) == len(set(catalogue.BRANDS)) == 40
    marks = set(zip(catalogue.BRAND_COLOUR, catalogue.BRAND_FIGURE, strict=True))
    assert len(marks) == 40
    weighed = catalogue.BRAND_SHARES * catalogue.BRAND_EFFECTS
    for colour in range(len(catalogue.MARK_COLOURS)):
        mine = catalogue.BRAND_COLOUR == colour
        np.testing.assert_allclose(weighed[:, mine].sum(axis=1), 0, atol=1e-12)
        # And no two pairs of a class share a colour.
        assert np.max(np.sum(catalogue.BRAND_SHARES[:, mine] > 0, axis=1)) <= 2


def test_median_and_spread_place_and_stretch_the_prices():
    items = latents.sample(CONFIG, np.arange(50))
    config = dataclasses.replace(CONFIG, median_price=20.0, spread=0.23)
    whole = log_prices(CONFIG, items) - np.log(180.0)
    np.testing.assert_allclose(log_prices(config, items), np.log(20.0) + whole / 5)


def test_one_price_by_hand():
    items = latents.sample(CONFIG, np.array([11]))
    platform = latents.sellers(0, 400)
    which, brand = int(items.item_class[0]), int(items.brand[0])
    pack = (bool(items.pack[0]) - 0.2) / 0.4
    receipt = (bool(items.receipt[0]) - 0.3) / np.sqrt(0.21)
    grade = catalogue.GRADE_EFFECTS[items.grade[0]]
    colour = catalogue.COLOUR.effects[items.colour[0]]
    material = catalogue.MATERIAL_EFFECTS[which, items.material[0]]
    log = np.log(180) + 1.15 * (
        np.sqrt(0.415) * catalogue.CATEGORY.effects[items.category[0]]
        + np.sqrt(0.20) * catalogue.BRAND_EFFECTS[which, brand]
        + np.sqrt(0.06) * (np.sqrt(0.25) * colour + np.sqrt(0.75) * material)
        + np.sqrt(0.11)
        * (np.sqrt(0.65) * grade + np.sqrt(0.2) * pack + np.sqrt(0.15) * receipt)
        + np.sqrt(0.06) * catalogue.CONDITION.effects[items.condition[0]]
        + np.sqrt(0.09) * platform.effects[items.seller[0]]
        + np.sqrt(0.005) * (46 - items.day[0]) / (92 / np.sqrt(12))
        + np.sqrt(0.06) * items.noise[0]
    )
    np.testing.assert_allclose(log_prices(CONFIG, items), [log])


@pytest.mark.parametrize(
    "switch, effects",
    [
        ("sellers", ("seller",)),
        ("label_effects", ("brand", "attributes", "specification")),
        ("drift", ("drift",)),
        *((defect, ()) for defect in DEFECTS),
    ],
)
def test_a_switch_takes_its_effects_and_nothing_else(switch, effects):
    config = BazaarConfig(**{switch: False})
    items = latents.sample(config, np.arange(300))
    found = terms(config, items)
    for name, values in TERMS.items():
        expected = 0 * values[:300] if name in effects else values[:300]
        np.testing.assert_array_equal(found[name], expected)
    assert set(effects) <= set(SHARES)


def test_expected_errors_are_those_that_the_expected_prices_make():
    logs = log_prices(CONFIG, MANY)
    errors = logs - expected_log_prices(CONFIG, MANY)
    squared = expected_squared_errors(CONFIG, MANY)
    absolute = expected_errors(CONFIG, MANY)
    bad = ~MANY.readable
    shown = colour_shown(MANY)
    assert 0.15 < np.mean(shown[bad]) < 0.6 and np.all(shown[MANY.readable])
    for group in (MANY.readable, bad & shown, bad & ~shown):
        assert np.ptp(squared[group]) == 0
        assert np.mean(errors[group] ** 2) == pytest.approx(squared[group][0], rel=0.06)
        assert np.mean(np.abs(errors[group])) == pytest.approx(
            absolute[group][0], rel=0.05
        )
        assert np.mean(errors[group]) == pytest.approx(0, abs=0.04)
    # Only the noise is left where all is seen.
    np.testing.assert_allclose(errors[MANY.readable], TERMS["noise"][MANY.readable])
    assert squared[bad].min() > 2.5 * squared[MANY.readable].max()


def test_without_label_effects_only_wear_is_hidden():
    config = BazaarConfig(label_effects=False)
    squared = expected_squared_errors(config, MANY)
    expected = 1.15**2 * np.where(MANY.readable, 0.06, 0.06 + 0.06)
    np.testing.assert_allclose(squared, expected)
    errors = log_prices(config, MANY)
    errors = errors - expected_log_prices(config, MANY)
    bad = ~MANY.readable
    assert np.mean(errors[bad] ** 2) == pytest.approx(1.15**2 * 0.12, rel=0.05)
