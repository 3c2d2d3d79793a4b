"""Whether lists hold the branches of the tree that users need: what J2 is to find."""

import dataclasses
import math

import numpy as np

from recsys.generated import latents
from recsys.generated.parameters import LEVELS, ClosetConfig


def branch_needs(
    config: ClosetConfig, users: np.ndarray, lists: np.ndarray, length: int
) -> float:
    """How much more users need the branches in their lists than the others do.

    What a user feels for the 1st- and 2nd-level categories of an item, less the mean
    over users, in standard deviations: 0 where all lists are alike, and on average for
    lists drawn at random. It is that of the world with the effects `user_side` and
    `hierarchy`, also where these are off and nobody chooses by it, so that a model
    can't be ahead there by anything but chance.

    Args:
      config: of the closet.
      users: [Q] ids.
      lists: [Q, K] items by rank, -1 after the last one.
      length: of a list, the best so many count.

    Returns:
      The mean over users of the mean over their lists; those without a list are left
      out, and NaN where nobody has one.
    """
    planted = dataclasses.replace(config, user_side=True, hierarchy=True)
    rows, places = np.nonzero(lists[:, :length] >= 0)
    if not len(rows):
        return math.nan
    items = latents.sample_items(planted, lists[rows, places])
    parts = latents.item_parts(planted, items)
    branches = {name: parts[name] for name in LEVELS[:-1]}
    stands_for = latents.turn(planted, branches, items.day)  # [n, D]
    taste = latents.sample_users(planted).taste[users]  # [Q, D]
    taste = taste - taste.mean(axis=0)
    scales = latents.part_scales(planted)
    deviation = math.hypot(*(scales[name] for name in branches))
    needs = np.einsum("nd,nd->n", taste[rows], stands_for) / deviation
    counts = np.bincount(rows, minlength=len(users))
    sums = np.bincount(rows, needs, minlength=len(users))
    return float(np.mean(sums[counts > 0] / counts[counts > 0]))
