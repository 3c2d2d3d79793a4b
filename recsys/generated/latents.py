"""What the items and the users of the generated closet are, before anyone chooses.

An item is a function of (seed, id) alone, and so is a user: neither depends on the
others, on their number, or on which effects are planted.
"""

import dataclasses
import functools

import numpy as np

from recsys.generated.draws import Stream, directions, normals, snap, uniforms
from recsys.generated.parameters import (
    DAYS,
    DIMENSIONS,
    DRIFT_ANGLE,
    IDLE,
    LEVELS,
    MOMENTS,
    MOST_COMMON,
    MOST_TAKERS,
    PARTS,
    QUALITY_EFFECT,
    SCALES,
    ClosetConfig,
)
from recsys.generated.tree import branches

TASTE_WIDTH = sum(DIMENSIONS[part] for part in PARTS)


@dataclasses.dataclass(frozen=True, eq=False)
class Items:
    """N items.

    Attributes:
      ids: [N].
      leaf: row in `branches(subset)` [N].
      day: when it is shown, days after the first [N].
      quality: how attractive it is to everybody, standard normal [N].
      look: the style that its photo shows, of length sqrt(d) [N, d].
      hidden: what its photo doesn't show, alike.
    """

    ids: np.ndarray
    leaf: np.ndarray
    day: np.ndarray
    quality: np.ndarray
    look: np.ndarray
    hidden: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Users:
    """U users.

    Attributes:
      expected: number of interactions that each is to have [U].
      taste: of each, for what an item is [U, 2 * TASTE_WIDTH]. The second half counts
        as preferences turn (`traits`).
    """

    expected: np.ndarray
    taste: np.ndarray


def days(config: ClosetConfig, ids: np.ndarray) -> np.ndarray:
    """When items are shown, days after the first [N]."""
    return DAYS * uniforms(config.seed, Stream.TIME, ids, 1)[:, 0]


def moments_of(day: np.ndarray) -> np.ndarray:
    """Moments at which items of these days are shown, 0 to MOMENTS - 1 [N]."""
    return (day * (MOMENTS / DAYS)).astype(np.int32)


def sample_items(config: ClosetConfig, ids: np.ndarray) -> Items:
    """Draws the items with these ids; an item is the same in any company."""
    seed, ids = config.seed, np.asarray(ids)
    edges = np.cumsum(branches(config.subset).shares)[:-1]
    place = uniforms(seed, Stream.LEAF, ids, 1)[:, 0]
    return Items(
        ids=ids,
        leaf=np.searchsorted(edges, place, side="right"),
        day=days(config, ids),
        quality=normals(seed, Stream.QUALITY, ids, 1)[:, 0],
        look=directions(seed, Stream.LOOK, ids, DIMENSIONS["look"]),
        hidden=directions(seed, Stream.HIDDEN, ids, DIMENSIONS["hidden"]),
    )


def expected_takers(config: ClosetConfig, quality: np.ndarray) -> np.ndarray:
    """Mean number of users of an item of this quality, but for the cap [N].

    1 + (m - 1) exp(k q - k^2 / 2) with m the mean over all items.
    """
    counts = config.counts()
    extra = counts.interactions / counts.items - 1.0
    return 1.0 + extra * np.exp(QUALITY_EFFECT * quality - QUALITY_EFFECT**2 / 2)


def takers(config: ClosetConfig, items: Items) -> np.ndarray:
    """How many users each item finds [N].

    Geometric from 1 on, with the mean of `expected_takers`, up to a cap.
    """
    extra = expected_takers(config, items.quality) - 1.0
    counts = config.counts()
    most = min(MOST_TAKERS, counts.users // 2)
    if not config.uniqueness:
        most = round(MOST_COMMON * counts.interactions / counts.items)
    draw = -np.log(uniforms(config.seed, Stream.INTEREST, items.ids, 1)[:, 0])
    number = 1 + np.floor(draw / np.log1p(1.0 / extra)).astype(int)
    return np.minimum(number, most)


def part_scales(config: ClosetConfig) -> dict[str, float]:
    """Standard deviation over users of what each part of an item adds.

    Where there is one 1st-level category it tells no items apart. Without `user_side`
    users are alike in what they need of 1st- and 2nd-level categories. Without
    `hierarchy` what is left for categories is all due to the leaf.
    """
    scales = dict(SCALES)
    if len(config.tops) == 1:
        scales["top"] = 0.0
    if not config.user_side:
        scales["top"] = scales["middle"] = 0.0
    if not config.hierarchy:
        scales["leaf"] = float(np.sqrt(sum(scales[level] ** 2 for level in LEVELS)))
        scales["top"] = scales["middle"] = 0.0
    return scales


@functools.lru_cache(maxsize=8)
def needs(subset: str, seed: int, hierarchy: bool) -> dict[str, np.ndarray]:
    """What the nodes above each leaf stand for: {level: [C, d]}, mean square 1.

    With `hierarchy` the leaves below a node have mean 0, so that all that they share is
    due to the node.
    """
    tree = branches(subset)
    found = {}
    for level, name in enumerate(LEVELS):
        # Ids of a level start beyond those of the one above.
        ids = tree.nodes[:, level] + level * 10_000
        found[name] = directions(seed, Stream.NEED, ids, DIMENSIONS[name])
    if hierarchy:
        parents, leaves = tree.nodes[:, 1], found["leaf"]
        centred = _centre(leaves, parents)
        # By one factor for all below a node, so that the mean stays 0.
        size = np.sqrt(_means(np.mean(centred**2, axis=1, keepdims=True), parents))
        found["leaf"] = centred / size
    return found


def among_siblings(config: ClosetConfig) -> np.ndarray:
    """What leaves stand for, less the mean of their siblings and themselves [C, d]."""
    leaves = needs(config.subset, config.seed, config.hierarchy)["leaf"]
    return _centre(leaves, branches(config.subset).nodes[:, 1])


def _centre(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    return values - _means(values, groups)


def _means(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The mean of each row's group, for values [C, d] and groups [C]."""
    members = groups[:, None] == groups  # [C, C]
    return members @ values / members.sum(axis=1, keepdims=True)


def item_parts(config: ClosetConfig, items: Items) -> dict[str, np.ndarray]:
    """What users may like of an item, by part {name: [N, d]}."""
    of_leaves = needs(config.subset, config.seed, config.hierarchy)
    levels = {name: of_leaves[name][items.leaf] for name in LEVELS}
    return levels | {"look": items.look, "hidden": items.hidden}


def weigh(config: ClosetConfig, parts: dict[str, np.ndarray]) -> np.ndarray:
    """The parts side by side, each by its scale [N, TASTE_WIDTH].

    With taste ~ N(0, I), taste . weighed has the standard deviations `part_scales`.
    A part that is left out counts 0.
    """
    scales = part_scales(config)
    count = len(next(iter(parts.values())))
    columns = []
    for name in PARTS:
        empty = np.zeros((count, DIMENSIONS[name]))
        columns.append(
            scales[name] / np.sqrt(DIMENSIONS[name]) * parts.get(name, empty)
        )
    return np.concatenate(columns, axis=1)  # [N, TASTE_WIDTH]


def turn(
    config: ClosetConfig, parts: dict[str, np.ndarray], day: np.ndarray
) -> np.ndarray:
    """What tastes are multiplied with on a day [N, 2 * TASTE_WIDTH].

    cos(a) x beside sin(a) x, with x the weighed parts and a the angle by which
    preferences have turned, 0 halfway: each taste turns towards another one.
    """
    angle = DRIFT_ANGLE * (day / DAYS - 0.5) * config.drift
    return _beside(weigh(config, parts), np.cos(angle), np.sin(angle))


def turn_on_average(
    config: ClosetConfig, parts: dict[str, np.ndarray], share: float
) -> np.ndarray:
    """The mean of `turn` over the first `share` of the time [N, 2 * TASTE_WIDTH]."""
    angle = DRIFT_ANGLE * ((np.arange(1000) + 0.5) / 1000 * share - 0.5) * config.drift
    return _beside(weigh(config, parts), np.cos(angle).mean(), np.sin(angle).mean())


def _beside(
    weighed: np.ndarray, first: np.ndarray | float, later: np.ndarray | float
) -> np.ndarray:
    columns = [weighed * np.reshape(by, (-1, 1)) for by in (first, later)]
    return np.concatenate(columns, axis=1)  # [N, 2 * TASTE_WIDTH]


def traits(config: ClosetConfig, items: Items) -> np.ndarray:
    """What an item is to users: affinity(u, i) = taste_u . traits_i.

    Returns:
      [N, 2 * TASTE_WIDTH], rounded so that the products add up exactly.
    """
    return snap(turn(config, item_parts(config, items), items.day))


def sample_users(config: ClosetConfig) -> Users:
    """Draws all users; the number of users decides only the scale of `expected`."""
    ids = np.arange(config.counts().users)
    first = normals(config.seed, Stream.TASTE, ids, TASTE_WIDTH)
    later = normals(config.seed, Stream.LATER_TASTE, ids, TASTE_WIDTH)
    taste = snap(np.concatenate([first, later], axis=1))
    return Users(expected_activity(config, ids), taste)


def expected_activity(config: ClosetConfig, ids: np.ndarray) -> np.ndarray:
    """How many interactions each user is to have [U].

    1 for the idle ones, log-uniform for the others, up to what gives the mean; then
    scaled so that they sum to all interactions. Without `user_side` all are alike.
    """
    counts = config.counts()
    mean = counts.interactions / counts.users
    if not config.user_side:
        return np.full(len(ids), mean)
    idle = IDLE[config.subset]
    place = uniforms(config.seed, Stream.ACTIVITY, ids, 1)[:, 0]
    place = np.maximum(place - idle, 0.0) / (1.0 - idle)
    activity = np.exp(log_span((mean - idle) / (1.0 - idle)) * place)
    # A user can't interact twice with an item, and looks at half of the moments.
    activity = np.minimum(activity, counts.items / 4)
    return activity * (counts.interactions / activity.sum())


def log_span(mean: float) -> float:
    """L such that (exp(L) - 1) / L, the mean of exp(L x) for even x, is this."""
    low, high = 1e-9, 50.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if np.expm1(middle) / middle < mean else (low, middle)
        )
    return low
