import dataclasses

import numpy as np
import pytest

from recsys.generated import closet, latents
from recsys.generated.parameters import ClosetConfig
from tests.recsys.generated import ceilings

MEN = ClosetConfig(user_count=60, item_count=2000, interaction_count=3000)


def test_branch_needs_written_out():
    """By the definitions: taste times what the 2nd-level category stands for."""
    lists = np.array([[3, 8, -1], [-1, -1, -1], [5, 9, 11]])
    users = np.array([4, 0, 7])
    items = latents.sample_items(MEN, np.arange(12))
    taste = latents.sample_users(MEN).taste
    stands_for = latents.item_parts(MEN, items)["middle"]  # [12, 8]
    first = latents.DIMENSIONS["top"]
    half = latents.TASTE_WIDTH
    angle = latents.DRIFT_ANGLE * (items.day / latents.DAYS - 0.5)

    def need(user, item):
        own = taste[user] - taste[users].mean(0)
        now, later = own[first : first + 8], own[half + first :][:8]
        turned = np.cos(angle[item]) * now + np.sin(angle[item]) * later
        return turned @ stands_for[item] / np.sqrt(8)  # a standard normal over users

    nobody = np.full((3, 2), -1)
    assert np.isnan(closet.branch_needs(MEN, users, nobody, 2))
    for length, mine in ((2, [5, 9]), (3, [5, 9, 11])):
        wanted = [
            np.mean([need(4, item) for item in (3, 8)]),
            np.mean([need(7, item) for item in mine]),
        ]
        found = closet.branch_needs(MEN, users, lists, length)
        assert found == pytest.approx(np.mean(wanted), abs=1e-5)


def test_branch_needs_tell_who_is_served_and_not_who_takes():
    """Lists by need are far above 0, drawn ones at 0; switches change neither."""
    users = np.arange(60)
    every = np.tile(np.arange(2000), (60, 1))
    felt = ceilings.affinities(MEN, np.repeat(users, 2000), every.ravel())["middle"]
    served = np.argsort(-felt.reshape(60, 2000), axis=1)[:, :10]
    drawn = np.random.default_rng(0).integers(2000, size=(60, 10))
    assert closet.branch_needs(MEN, users, served, 10) > 1
    assert abs(closet.branch_needs(MEN, users, drawn, 10)) < 0.25
    alike = np.tile(served[0], (60, 1))  # one user's list for everybody
    assert closet.branch_needs(MEN, users, alike, 10) == pytest.approx(0, abs=1e-12)
    for off in ({"user_side": False}, {"hierarchy": False}):
        other = dataclasses.replace(MEN, **off)
        for lists in (served, drawn):
            assert closet.branch_needs(other, users, lists, 10) == (
                closet.branch_needs(MEN, users, lists, 10)
            )
