import dataclasses

import numpy as np
import pytest

from common.data.generated import SPLIT_START
from pricer.generated import catalogue, latents
from pricer.generated.parameters import DEFECTS, BazaarConfig

COUNT = 20_000
CONFIG = BazaarConfig()
MANY = latents.sample(CONFIG, np.arange(COUNT))
SWITCHES = (*DEFECTS, "sellers", "label_effects", "drift")
TRAINING_ITEMS = {  # Table 1
    "women clothes": 184_401,
    "men clothes": 38_292,
    "children clothes": 11_196,
    "women shoes": 27_215,
    "men shoes": 16_456,
    "children shoes": 31_362,
    "cosmetic": 125_684,
    "phone": 65_357,
    "3C product": 184_861,
    "household appliance": 59_221,
    "sports equipment": 88_055,
    "baby product": 23_330,
    "accessories": 36_984,
}


def arrays(items):
    """All arrays of items by name."""
    found = {f.name: getattr(items, f.name) for f in dataclasses.fields(items)}
    looks = found.pop("looks")
    for group in ("missing", "defects"):
        found |= {f"{group} {k}": v for k, v in found.pop(group).items()}
    return found | {f.name: getattr(looks, f.name) for f in dataclasses.fields(looks)}


def assert_shares(values, shares):
    """Frequencies are the shares, within four standard errors."""
    found = np.bincount(values, minlength=len(shares)) / len(values)
    error = 4 * np.sqrt(shares * (1 - shares) / len(values))
    assert np.all(np.abs(found - shares) <= error + 1e-12)


def test_classes_come_in_the_proportions_of_table_1():
    assert catalogue.CLASSES == tuple(TRAINING_ITEMS)
    counts = np.array(list(TRAINING_ITEMS.values()))
    assert counts.sum() == 892_414
    assert_shares(MANY.item_class, counts / counts.sum())


def test_facts_have_their_shares():
    assert_shares(MANY.category, catalogue.CATEGORY.shares)
    assert_shares(MANY.colour, catalogue.COLOUR.shares)
    assert_shares(MANY.condition, catalogue.CONDITION.shares)
    assert_shares(MANY.grade, catalogue.GRADE_SHARES)
    assert_shares(MANY.pack.astype(int), np.array([0.8, 0.2]))
    for which in (0, 6, 8):
        mine = MANY.item_class == which
        assert_shares(MANY.brand[mine], catalogue.BRAND_SHARES[which])
        assert_shares(MANY.material[mine], catalogue.MATERIAL_SHARES[which])


def test_an_item_is_the_same_in_any_company():
    some = latents.sample(CONFIG, np.array([2_000_005, 7]))
    alone = latents.sample(CONFIG, np.array([7]))
    for name, values in arrays(some).items():
        assert values[1] == arrays(alone)[name][0] == arrays(MANY)[name][7]


def test_seeds_make_other_items():
    other = latents.sample(BazaarConfig(seed=1), np.arange(200))
    assert np.mean(other.brand == MANY.brand[:200]) < 0.3
    assert latents.sellers(0, 400) is not latents.sellers(1, 400)


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_moves_no_other_draw(switch):
    found = arrays(latents.sample(BazaarConfig(**{switch: False}), np.arange(500)))
    touched = {
        "blur": {"defects blur", "blur"},
        "darkness": {"defects darkness", "light", "lamp"},
        "clutter": {"defects clutter", "size", "others"},
        "missing_information": {"defects missing_information", "cover"},
    }.get(switch, set())
    for name, values in arrays(MANY).items():
        same = np.array_equal(found[name], values[:500])
        assert same == (name not in touched), name
    if switch in DEFECTS:
        assert not np.any(found[f"defects {switch}"])
        # Only the photos that had the defect change.
        had = MANY.defects[switch][:500]
        for name in touched:
            np.testing.assert_array_equal(
                found[name][~had], arrays(MANY)[name][:500][~had]
            )


@pytest.mark.parametrize("defect", DEFECTS)
def test_defects_have_their_shares_and_are_told_from_harmless_looks(defect):
    bad = MANY.defects[defect]
    assert np.mean(bad) == pytest.approx(0.119, abs=0.012)
    looks = {
        "blur": MANY.looks.blur,
        "darkness": -MANY.looks.light,
        "clutter": -MANY.looks.size,
        "missing_information": MANY.looks.cover,
    }[defect]
    assert looks[bad].min() > looks[~bad].max()
    if defect != "missing_information":  # and the harmless ones vary
        assert np.ptp(looks[~bad]) > 0.005
    for share in (0.0, 1.0):
        config = BazaarConfig(**{f"{defect}_share": share})
        found = latents.sample(config, np.arange(100)).defects[defect]
        assert np.all(found == bool(share))


def test_readable_photos_have_no_defect():
    faults = np.sum(list(MANY.defects.values()), axis=0)
    np.testing.assert_array_equal(MANY.readable, faults == 0)
    assert np.mean(MANY.readable) == pytest.approx(0.62, abs=0.03)


def test_careless_sellers_take_worse_photos():
    platform = latents.sellers(CONFIG.seed, CONFIG.seller_count)
    careless = platform.carelessness[MANY.seller]
    assert np.mean(careless) == pytest.approx(1, abs=0.05)
    expected = 1 - 0.88 ** (4 * careless)  # four defects of share 0.12
    for bad in (careless < 0.7, careless > 1.3):
        share = np.mean(~MANY.readable[bad])
        assert share == pytest.approx(np.mean(expected[bad]), abs=0.03)
    # The price level of a seller says nothing of the photos.
    readable = np.corrcoef(platform.effects[MANY.seller], MANY.readable)[0, 1]
    assert abs(readable) < 0.1


def test_sellers_are_long_tailed():
    platform = latents.sellers(0, 400)
    counts = np.sort(np.bincount(MANY.seller, minlength=400))[::-1]
    assert counts[0] > 0.05 * COUNT and np.median(counts) < 0.003 * COUNT
    assert_shares(MANY.seller, platform.shares)
    assert len(latents.sellers(0, 5).shares) == 5


def test_days_lie_in_the_time_of_the_split():
    spans = {"train": (0, 81), "validation": (81, 83.5), "test": (83.5, 92)}
    for split, (first, last) in spans.items():
        numbers = SPLIT_START[split] + np.arange(400)
        day = latents.sample(CONFIG, numbers).day
        assert first <= day.min() < first + 0.02 * (last - first)
        assert last - 0.02 * (last - first) < day.max() <= last


def test_wrong_categories_are_of_the_same_class():
    wrong = MANY.listed_category != MANY.category
    assert np.mean(wrong) == pytest.approx(0.03, abs=0.005)
    listed = catalogue.CATEGORY_CLASS[MANY.listed_category]
    np.testing.assert_array_equal(listed, MANY.item_class)
