import dataclasses

import numpy as np
import pytest

from ican.generated import catalogue, latents
from ican.generated.parameters import SHOWN_CARAT, SHOWN_HEFT, RingsConfig

MANY = latents.sample(RingsConfig(), np.arange(20_000))


def flat(rings):
    """All arrays of some rings under dotted names."""
    found = {"one_size": rings.one_size, "noise": rings.noise}
    for part in ("true", "listed", "appearance"):
        value = getattr(rings, part)
        for field in dataclasses.fields(value):
            found[f"{part}.{field.name}"] = getattr(value, field.name)
    return found | {f"missing.{name}": value for name, value in rings.missing.items()}


def test_a_ring_does_not_depend_on_its_company():
    alone = flat(latents.sample(RingsConfig(), np.array([1234])))
    other = flat(latents.sample(RingsConfig(), np.array([7, 1234, 3])))
    for name, value in flat(MANY).items():
        np.testing.assert_array_equal(alone[name][0], value[1234], err_msg=name)
        np.testing.assert_array_equal(other[name][1], value[1234], err_msg=name)


def test_seed_and_number_make_the_ring():
    here = latents.sample(RingsConfig(), np.arange(100)).noise
    other_seed = latents.sample(RingsConfig(seed=1), np.arange(100)).noise
    assert len(np.unique(np.concatenate([here, other_seed]))) == 200


@pytest.mark.parametrize("size", [1, 2, 5])
def test_every_draw_is_used_and_none_twice(size, monkeypatch):
    made = []
    original = latents._Draws.__init__

    def remember(self, uniforms, normals):
        original(self, uniforms, normals)
        made.append(self)

    monkeypatch.setattr(latents._Draws, "__init__", remember)
    latents.sample(RingsConfig(), np.arange(size))
    assert list(made[0]._uniforms) == [] and list(made[0]._normals) == []


def test_categories_come_as_often_as_the_catalogue_says():
    for fact, table in (
        ("metal", catalogue.METAL),
        ("kind", catalogue.KIND),
        ("size", catalogue.SIZE),
        ("month", catalogue.MONTH),
    ):
        found = np.bincount(getattr(MANY.true, fact), minlength=len(table.names))
        sigma = np.sqrt(table.shares * (1 - table.shares) / 20_000)
        assert np.all(np.abs(found / 20_000 - table.shares) < 4.5 * sigma), fact
    found = np.bincount(MANY.true.side_kind, minlength=37) / 20_000
    sigma = np.sqrt(catalogue.SIDE_SHARES / 20_000)
    assert np.all(np.abs(found - catalogue.SIDE_SHARES) < 4.5 * sigma)


def test_all_categories_appear_in_the_full_table():
    assert len(np.unique(MANY.true.kind)) == len(np.unique(MANY.true.side_kind)) == 37


def test_the_three_stones_are_of_three_families_and_places():
    family, place = MANY.appearance.family, MANY.appearance.place
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert np.all(family[:, a] != family[:, b])
    np.testing.assert_array_equal(np.sort(place, axis=1), [[-1, 0, 1]] * 20_000)
    # The listed stone is in each place a third of the time: sigma is 0.0033.
    shares = np.bincount(place[:, 0] + 1) / 20_000
    np.testing.assert_allclose(shares, 1 / 3, atol=0.015)
    np.testing.assert_array_equal(
        family[:, 0], catalogue.KIND_FAMILY[MANY.true.kind], strict=True
    )
    side = MANY.true.side_kind > 0
    np.testing.assert_array_equal(
        family[side, 1], catalogue.KIND_FAMILY[MANY.true.side_kind[side]]
    )


def test_only_diamonds_have_grading_reports_and_only_stones_identification():
    assert np.all(MANY.true.kind[MANY.true.grading] == catalogue.DIAMOND)
    assert np.all(MANY.true.kind[MANY.true.identification] > 0)
    assert MANY.true.grading.any() and MANY.true.identification.any()


def test_attributes_are_missing_or_wrong_as_often_as_asked():
    config = RingsConfig(missing_share=0.2, wrong_share=0.1)
    rings = latents.sample(config, np.arange(10_000))
    for name, missing in rings.missing.items():
        wanted = 0.0 if name == "month of purchase" else 0.2
        assert abs(missing.mean() - wanted) < 0.02, name  # 5 sigma
    wrong = rings.listed.heft != rings.true.heft
    assert abs(wrong.mean() - 0.1) < 0.015
    np.testing.assert_array_equal(rings.listed.month, rings.true.month)
    # Another ring's metal is the same one by chance.
    same = np.sum(catalogue.METAL.shares**2)
    wrong = np.mean(rings.listed.metal != rings.true.metal)
    assert abs(wrong - 0.1 * (1 - same)) < 0.015


def test_switched_off_nothing_is_missing_or_wrong():
    config = RingsConfig(missing_or_wrong=False)
    rings = latents.sample(config, np.arange(2000))
    assert not any(missing.any() for missing in rings.missing.values())
    assert not rings.one_size.any()
    for field in dataclasses.fields(rings.true):
        np.testing.assert_array_equal(
            getattr(rings.listed, field.name), getattr(rings.true, field.name)
        )


def test_switched_off_every_listed_stone_is_in_the_middle():
    looks = latents.sample(RingsConfig(off_centre=False), np.arange(50)).appearance
    np.testing.assert_array_equal(looks.place, [[0, -1, 1]] * 50)
    assert not looks.shift.any() and not looks.turn.any()


@pytest.mark.parametrize(
    "switch",
    ["photo_only", "attributes_only", "interactions", "missing_or_wrong", "off_centre"],
)
def test_a_switch_leaves_all_other_draws_alone(switch):
    off = flat(latents.sample(RingsConfig(**{switch: False}), np.arange(500)))
    changes = {
        "missing_or_wrong": ("listed.", "missing.", "one_size"),
        "off_centre": ("appearance.place", "appearance.shift", "appearance.turn"),
    }.get(switch, ())
    for name, value in flat(MANY).items():
        if not name.startswith(changes or ("none",)):
            np.testing.assert_array_equal(off[name], value[:500], err_msg=name)


def test_the_photo_shows_sizes_only_roughly():
    looks, true = MANY.appearance, MANY.true
    shown = np.corrcoef(looks.thickness, true.heft)[0, 1]
    assert abs(shown - SHOWN_HEFT) < 0.02
    shown = np.corrcoef(looks.diameter[:, 0], true.carat)[0, 1]
    assert abs(shown - SHOWN_CARAT) < 0.02
    assert abs(np.corrcoef(looks.diameter[:, 1], true.carat)[0, 1]) < 0.03
    for drawn in (looks.polish, looks.quality, looks.diameter, looks.thickness):
        assert abs(drawn.mean()) < 0.04 and abs(drawn.var() - 1) < 0.05
