import dataclasses

import numpy as np
import pytest

from ican.generated import catalogue, latents
from ican.generated.parameters import (
    ATTRIBUTES_PARTS,
    INTERACTION_PARTS,
    PHOTO_PARTS,
    RingsConfig,
)
from ican.generated.values import (
    attribute_effects,
    interaction_effects,
    log_prices,
    photo_effects,
)

COUNT = 40_000
MANY = latents.sample(RingsConfig(), np.arange(COUNT))
EFFECTS = attribute_effects(MANY.true) | photo_effects(MANY) | interaction_effects(MANY)


@pytest.mark.parametrize("parts", [ATTRIBUTES_PARTS, PHOTO_PARTS, INTERACTION_PARTS])
def test_parts_divide_the_whole(parts):
    np.testing.assert_allclose(sum(parts.values()), 1)


def test_effects_are_standardised_and_uncorrelated():
    values = np.stack(list(EFFECTS.values()))
    assert len(values) == 12 + 2 + 4
    covariance = values @ values.T / COUNT
    # Products of heavy tails spread the most: their sigma stays under 0.02.
    np.testing.assert_allclose(covariance, np.eye(18), atol=0.06)
    np.testing.assert_allclose(values.mean(axis=1), 0, atol=0.03)


@pytest.mark.parametrize(
    "switch, share",
    [
        ("attributes_only", "attributes_share"),
        ("photo_only", "photo_share"),
        ("interactions", "interactions_share"),
    ],
)
def test_a_switch_takes_its_share_of_the_variance(switch, share):
    config = RingsConfig()
    rings = latents.sample(config, np.arange(10_000))
    whole = log_prices(config, rings)
    rest = log_prices(RingsConfig(**{switch: False}), rings)
    effect = np.var(whole - rest) / config.spread**2
    assert effect == pytest.approx(getattr(config, share), rel=0.06)
    assert abs(np.corrcoef(whole - rest, rest)[0, 1]) < 0.05
    # And what is left has nothing to do with it.
    assert np.var(rest) == pytest.approx(np.var(whole) * (1 - effect), rel=0.08)


@pytest.mark.parametrize("titles", [False, True])
def test_words_take_their_share_of_the_variance_where_there_are_titles(titles):
    config = RingsConfig(titles=titles, words_share=0.3)
    rings = latents.sample(config, np.arange(10_000))
    whole = log_prices(config, rings)
    rest = log_prices(dataclasses.replace(config, words=False), rings)
    plain = log_prices(RingsConfig(), rings) - np.log(config.median_price)
    if not titles:
        np.testing.assert_array_equal(whole, rest)
        np.testing.assert_array_equal(whole - np.log(config.median_price), plain)
        return
    np.testing.assert_allclose(
        rest - np.log(config.median_price), np.sqrt(0.7) * plain, rtol=1e-9
    )
    effect = config.spread * np.sqrt(0.3) * catalogue.TELLING.effects
    np.testing.assert_allclose(whole - rest, effect[rings.titles.telling], rtol=1e-9)
    assert np.var(whole - rest) / config.spread**2 == pytest.approx(0.3, rel=0.06)
    assert abs(np.corrcoef(whole - rest, rest)[0, 1]) < 0.05


@pytest.mark.parametrize("words, share", [(True, 0.25), (False, 0.0)])
def test_words_explain_the_planted_share_or_nothing(words, share):
    """Least squares on which words a title has, fillers among them."""
    config = RingsConfig(titles=True, words=words)
    rings = latents.sample(config, np.arange(20_000))
    texts = [set(text.split()) for text in rings.titles.write()]
    names = [*catalogue.TELLING.names, *catalogue.FILLERS]
    hot = np.array([[name in text for name in names] for text in texts], float)
    reached = explained(hot, log_prices(config, rings))
    assert reached == pytest.approx(share, abs=0.02)
    # Beside what the attributes tell, the words tell as much.
    table = np.stack(list(attribute_effects(rings.true).values()), axis=1)
    beside = explained(np.column_stack([table, hot]), log_prices(config, rings))
    alone = explained(table, log_prices(config, rings))
    assert beside - alone == pytest.approx(share, abs=0.02)


def test_all_off_only_noise_is_left():
    config = RingsConfig(photo_only=False, attributes_only=False, interactions=False)
    logs = log_prices(config, MANY)
    noise = config.spread * np.sqrt(config.noise_share) * MANY.noise
    np.testing.assert_allclose(logs, np.log(config.median_price) + noise)


def test_one_price_by_hand():
    """A ring of one diamond in which most effects are switched to zero."""
    first = latents.sample(RingsConfig(), np.array([0]))
    true = dataclasses.replace(
        first.true,
        kind=np.array([catalogue.DIAMOND]),
        carat=np.array([1.5]),
        heft=np.array([0.5]),
        side_kind=np.array([0]),
        side_carat=np.array([9.0]),  # of no stone: counts for nothing
        grading=np.array([True]),
        identification=np.array([False]),
        metal=np.array([catalogue.METAL.names.index("platinum 900")]),
        **{name: np.array([0]) for name in ("size", "use", "repair", "defects")},
        month=np.array([11]),
    )
    looks = dataclasses.replace(
        first.appearance,
        design=np.array([4]),
        polish=np.array([-1.0]),
        quality=np.array([[2.0, 7.0, 7.0]]),  # the other stones count for nothing
    )
    rings = dataclasses.replace(
        first, true=true, appearance=looks, noise=np.array([0.1])
    )
    config = RingsConfig(
        median_price=100.0,
        spread=0.5,
        attributes_share=0.25,
        photo_share=0.16,
        interactions_share=0.36,
    )
    tables = catalogue
    p = 0.97 * 0.280 / sum(row[1] for row in tables._KINDS.values())  # a diamond
    attributes = (
        0.22**0.5 * tables.METAL.effects[9]
        + 0.12**0.5 * 0.5
        + 0.02**0.5 * tables.SIZE.effects[0]
        + 0.20**0.5 * tables.KIND.effects[1]
        + 0.16**0.5 * 1.5 / 0.97**0.5
        # side: E = 0.5, variance 0.5 * (1 + 0.25) - 0.25 = 0.375
        + 0.08**0.5 * (0 - 0.5) / 0.375**0.5
        + 0.04**0.5 * (1 - 0.5) / (p * 0.25) ** 0.5
        + 0.03**0.5 * (0 - 0.3) / (0.97 * 0.21) ** 0.5
        + 0.05**0.5 * tables.USE.effects[0]
        + 0.02**0.5 * tables.REPAIR.effects[0]
        + 0.03**0.5 * tables.DEFECT.effects[0]
        + 0.03**0.5 * tables.MONTH.effects[11]
    )
    photo = 0.6**0.5 * tables.DESIGN.effects[4] + 0.4**0.5 * -1.0
    quality = 2.0 / 0.97**0.5
    both = (
        0.38**0.5 * quality
        + 0.38**0.5 * quality * 1.5
        + 0.10**0.5 * quality * tables.KIND_LEANING[1]
        + 0.14**0.5 * -1.0 * tables.METAL.effects[9]
    )
    noise = 1 - 0.25 - 0.16 - 0.36
    wanted = np.log(100) + 0.5 * (
        0.5 * attributes + 0.4 * photo + 0.6 * both + noise**0.5 * 0.1
    )
    np.testing.assert_allclose(log_prices(config, rings), [wanted])


def explained(features: np.ndarray, target: np.ndarray) -> float:
    """Share of the variance that a linear model of the features explains."""
    table = np.column_stack([features, np.ones(len(target))])
    solution = np.linalg.lstsq(table.T @ table, table.T @ target, rcond=1e-10)[0]
    fitted = table @ solution
    return 1 - np.var(target - fitted) / np.var(target)


def test_without_interactions_adding_up_both_sides_explains_everything():
    features = np.stack(
        list(attribute_effects(MANY.true).values())
        + list(photo_effects(MANY).values()),
        axis=1,
    )
    off = RingsConfig(interactions=False)
    floor = off.noise_share / (1 - off.interactions_share)
    reached = explained(features, log_prices(off, MANY))
    assert reached == pytest.approx(1 - floor, abs=0.005)
    # With interactions, the same features miss just their share.
    config = RingsConfig()
    reached = explained(features, log_prices(config, MANY))
    missed = config.noise_share + config.interactions_share
    assert reached == pytest.approx(1 - missed, abs=0.015)


def test_interactions_need_to_know_where_to_look():
    """The ladder of fusions on what is really in the photo and the listing."""
    config = RingsConfig(missing_or_wrong=False)
    rings = latents.sample(config, np.arange(10_000))
    logs, rows = log_prices(config, rings), np.arange(10_000)
    true, looks = rings.true, rings.appearance
    count = len(catalogue.FAMILIES)
    attributes = np.stack(list(attribute_effects(true).values()), axis=1)
    workmanship = np.stack(list(photo_effects(rings).values()), axis=1)
    # A photo pooled over its positions: qualities by colour, not by stone.
    pooled = np.zeros((len(rows), count + 1))
    for stone in range(3):
        pooled[rows, looks.family[:, stone]] = looks.quality[:, stone]
    pooled = pooled[:, :count]
    family = np.arange(count) == catalogue.KIND_FAMILY[true.kind][:, None]
    keys = np.column_stack([family, true.carat, catalogue.KIND_LEANING[true.kind]])
    keys = np.column_stack([keys, catalogue.METAL.effects[true.metal]])
    shown = np.column_stack([pooled, looks.polish])
    additive = np.column_stack([attributes, workmanship, pooled])
    products = (keys[:, :, None] * shown[:, None, :]).reshape(len(rows), -1)
    bilinear = np.column_stack([additive, products])
    attended = np.sum(family * pooled, axis=1, keepdims=True)
    products = (keys[:, :, None] * attended[:, None, :]).reshape(len(rows), -1)
    co_attended = np.column_stack([bilinear, products])
    steps = [explained(x, logs) for x in (additive, bilinear, co_attended)]
    assert steps[0] < 0.76 and steps[1] - steps[0] > 0.12
    assert steps[2] - steps[1] > 0.05
    assert steps[2] == pytest.approx(1 - config.noise_share, abs=0.01)
