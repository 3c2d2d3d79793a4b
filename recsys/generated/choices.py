"""Who takes an item: the interactions of the generated closet.

Every item is shown at one moment, to the users who look then: its candidates. With
E independent and exponential, the n users with the largest

    w_u exp(affinity(u, i)) / E_ui

take it, which draws n of them without replacement, each with odds w exp(affinity):
a softmax over the users. From the user's side it is one over the items on offer, of

    affinity(u, i) + log n_i - log Z_i

with n_i the interest that the item finds for its quality, and Z_i the sum of those odds
over the users, the competition for it: near enough while nobody is all but sure to take
the item. The weights w are such that each user interacts as often as he is to.

An item's takers depend on the seed, the item and the users with their activity alone,
not on other items. The one exception: a user who got nothing takes the item that he
came closest to.
"""

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from common.data import generated
from recsys.generated.draws import Stream, snap, uniforms
from recsys.generated.latents import (
    Items,
    Users,
    days,
    moments_of,
    sample_items,
    sample_users,
    takers,
    traits,
)
from recsys.generated.parameters import (
    MEAN_DELAY,
    MOMENTS,
    MOST_CANDIDATES,
    ONLINE,
    ClosetConfig,
)

_TRIAL_ITEMS = 4096  # by which the weights are set, at a time
_TRIAL_BLOCKS = 8
_ROUNDS = 25
_ITEMS_AT_ONCE = 8192


@functools.lru_cache(maxsize=4)
def log_weights(config: ClosetConfig) -> np.ndarray:
    """log w: what makes each user interact about as often as he is to [U].

    In a race of exponential clocks with the rates r_ui = w_u exp(affinity(u, i)), user
    u is among the n_i first with a chance near 1 - exp(-r_ui t_i), where t_i is such
    that the chances sum to n_i. Over trial items, w makes its mean what is expected.
    The crowd that races is the first MOST_CANDIDATES users.
    """
    users = sample_users(config)
    crowd = slice(0, MOST_CANDIDATES)
    items = _trial_items(config, 0)
    number = takers(config, items)
    wanted = users.expected * (number.mean() / users.expected[crowd].sum())
    weights = wanted.copy()
    appeal = np.exp(traits(config, items) @ users.taste.T[:, crowd])
    time = number / (appeal @ weights[crowd])
    for _ in range(_ROUNDS):
        chances = -np.expm1(-time[:, None] * appeal * weights[crowd])
        time *= number / chances.sum(axis=1)
        weights[crowd] *= wanted[crowd] / chances.mean(axis=0)
    # Those who do little like few items very much: their mean needs more items.
    means = [_mean_chances(config, users, weights, 1 + b) for b in range(_TRIAL_BLOCKS)]
    return snap(np.log(weights * wanted / np.mean(means, axis=0)))


def _mean_chances(
    config: ClosetConfig, users: Users, weights: np.ndarray, block: int
) -> np.ndarray:
    """With what chance each user takes a trial item, on average [U]."""
    items = _trial_items(config, block)
    wanted, time = traits(config, items), np.empty(0)
    found = []
    for start in range(0, len(weights), MOST_CANDIDATES):
        some = slice(start, start + MOST_CANDIDATES)
        rates = np.exp(wanted @ users.taste.T[:, some]) * weights[some]
        if not start:
            time = race_times(rates, takers(config, items))
        found.append(-np.expm1(-time[:, None] * rates).mean(axis=0))
    return np.concatenate(found)


def race_times(rates: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """t_i with sum_u 1 - exp(-r_iu t_i) = n_i, within 1 %.

    By Newton's steps in log t on the log of the sum; they are kept short, for where a
    few are sure to take the item and all others hardly ever, it is almost flat.

    Args:
      rates: [R, U].
      numbers: n, below U [R].

    Returns:
      [R]; about n_i / sum_u r_iu where no user is all but sure to take the item.
    """
    time = numbers / rates.sum(axis=1)
    for _ in range(_ROUNDS):
        spent = rates * time[:, None]  # [R, U]
        left = np.exp(-spent)
        found = rates.shape[1] - left.sum(axis=1)
        if np.all(np.abs(found - numbers) < 0.01 * numbers):
            break
        spent *= left
        slope = np.maximum(spent.sum(axis=1) / found, 0.2)
        time *= (numbers / found) ** (1.0 / slope)
    return time


def _trial_items(config: ClosetConfig, block: int) -> Items:
    # Their ids are beyond those of all others.
    ids = 2**40 + block * _TRIAL_ITEMS + np.arange(_TRIAL_ITEMS)
    return sample_items(config, ids)


def candidates(config: ClosetConfig, moment: int) -> np.ndarray:
    """The users who look at a moment, ascending [K]."""
    count = config.counts().users
    share = min(ONLINE, MOST_CANDIDATES / count)
    ids = (moment << 32) + np.arange(count)
    return np.flatnonzero(uniforms(config.seed, Stream.ONLINE, ids, 1)[:, 0] < share)


def interactions(config: ClosetConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All interactions, in the order of time.

    Returns:
      (users int32 [N], items int32 [N], times float64 [N], in days after the first);
      pairs are distinct.
    """
    users = sample_users(config)
    closest = _Closest(len(users.expected))
    pairs = [_choose(config, shown, closest) for shown in _shows(config, users)]
    pairs.append(closest.rescue(np.concatenate([who for who, _ in pairs])))
    who, what = (np.concatenate(column) for column in zip(*pairs, strict=True))
    ids = (what.astype(np.int64) << 32) + who
    delay = -np.log(uniforms(config.seed, Stream.DELAY, ids, 1)[:, 0])
    times = days(config, what) + MEAN_DELAY * delay
    order = np.lexsort((what, who, times))
    return who[order].astype(np.int32), what[order].astype(np.int32), times[order]


@dataclasses.dataclass(frozen=True, eq=False)
class _Show:
    """The R items of one moment and the K users who look.

    Attributes:
      moment: its number.
      who: ids of the users [K].
      what: ids of the items [R].
      affinities: of each user for each item [R, K].
      takers: how many users each item is to find [R].
    """

    moment: int
    who: np.ndarray
    what: np.ndarray
    affinities: np.ndarray
    takers: np.ndarray


def _shows(config: ClosetConfig, users: Users) -> Iterator[_Show]:
    """The items of each moment, ascending."""
    moments = moments_of(days(config, np.arange(config.counts().items)))
    order = np.argsort(moments, kind="stable")
    edges = np.searchsorted(moments[order], np.arange(MOMENTS + 1))
    step = _moments_at_once(config)
    for first in range(0, MOMENTS, step):
        block = edges[first : first + step + 1]
        items = sample_items(config, order[block[0] : block[-1]])
        number = takers(config, items)
        crowds = [candidates(config, first + k) for k in range(len(block) - 1)]
        anyone = np.unique(np.concatenate(crowds))
        # One large product, for threads that share many small ones mostly wait.
        felt = traits(config, items) @ users.taste[anyone].T  # [items, anyone]
        for k, who in enumerate(crowds):
            rows = slice(block[k] - block[0], block[k + 1] - block[0])
            if block[k] < block[k + 1]:
                own = felt[rows, np.searchsorted(anyone, who)]
                yield _Show(first + k, who, items.ids[rows], own, number[rows])


def _moments_at_once(config: ClosetConfig) -> int:
    """One where each has a crowd of its own, else as many as make a large product."""
    counts = config.counts()
    if counts.users > MOST_CANDIDATES:
        return 1
    return max(1, min(64, _ITEMS_AT_ONCE * MOMENTS // counts.items))


@dataclasses.dataclass
class _Closest:
    """The item that each user came closest to: by its key over the last taker's."""

    def __init__(self, count: int):
        self.margin = np.zeros(count)
        self.item = np.zeros(count, np.int64)

    def see(self, who: np.ndarray, what: np.ndarray, margins: np.ndarray) -> None:
        """Takes note of candidates [K], items [R] and margins [R, K]."""
        best = np.argmax(margins, axis=0)  # [K]
        margin = margins[best, np.arange(len(who))]
        better = margin > self.margin[who]
        self.margin[who[better]] = margin[better]
        self.item[who[better]] = what[best[better]]

    def rescue(self, served: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(users without any item, the item of each)."""
        left = np.setdiff1d(np.arange(len(self.item)), served)
        return left, self.item[left]


def _choose(
    config: ClosetConfig, shown: _Show, closest: _Closest
) -> tuple[np.ndarray, np.ndarray]:
    """(users [n], items [n]): who takes the items of one moment."""
    source = generated.generator(config.seed, shown.moment, int(Stream.CHOICE))
    keys = np.exp(shown.affinities + log_weights(config)[shown.who])  # [R, K]
    keys /= source.standard_exponential(keys.shape)
    number = np.minimum(shown.takers, len(shown.who))
    rows, columns, last = _take_largest(keys, number)
    keys /= last[:, None]
    closest.see(shown.who, shown.what, keys)
    return shown.who[columns], shown.what[rows]


def _take_largest(
    keys: np.ndarray, numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds the largest keys of each row and sets them to 0, in place.

    Args:
      keys: positive [R, K].
      numbers: how many of each row [R], from 1 to K.

    Returns:
      (rows [n], columns [n], the last key found in each row [R]).
    """
    last = np.empty(len(keys))
    found_rows, found_columns = [], []
    rows = np.arange(len(keys))
    for place in range(1, int(numbers.max()) + 1):
        rows = rows[numbers[rows] >= place]
        columns = np.argmax(keys[rows], axis=1)
        last[rows] = keys[rows, columns]
        keys[rows, columns] = 0.0
        found_rows.append(rows)
        found_columns.append(columns)
    return np.concatenate(found_rows), np.concatenate(found_columns), last
