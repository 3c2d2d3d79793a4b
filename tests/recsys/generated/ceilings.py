"""What the best possible rankings of the generated closet reach, by what they know.

A user takes an item with a chance near

    1 - exp(-w_u exp(affinity(u, i)) t_i)

(`recsys.generated.choices.race_times`; t_i is large for an item that many take, and small where
many compete for it). So for user u the best order of the items is that of
affinity(u, i) + log t_i. A ranking that knows less takes the affinity of the parts it
knows, on the average day of its training data.
"""

import numpy as np

from common.data import generated
from recsys import metrics
from recsys.corpus.config import SplitKind
from recsys.corpus.interactions import Interactions, UserItems
from recsys.corpus.splits import split
from recsys.generated import choices, latents, photos
from recsys.generated.draws import Stream
from recsys.generated.latents import Items, Users
from recsys.generated.parameters import LEVELS, MOST_CANDIDATES, PARTS, ClosetConfig

K = 10
_ITEMS_AT_ONCE = 8192
# The parts that each ranking knows.
_KNOWN: dict[str, tuple[str, ...]] = {
    "category": LEVELS,
    "photo": ("look",),
    "siblings": ("leaf", "look"),
    "parents": ("top", "middle", "look"),
    "one_map": (*LEVELS, "look"),
    "content": (*LEVELS, "look"),
    "oracle": PARTS,
}
# How much of the time training sees.
_TRAINING_SHARE = {"temporal_global": 0.8}


def affinities(
    config: ClosetConfig, users: np.ndarray, items: np.ndarray
) -> dict[str, np.ndarray]:
    """What user u feels for item i on the day it is shown, by part.

    Args:
      config: of the closet.
      users: [N] ids.
      items: [N] ids.

    Returns:
      {"top" | "middle" | "leaf" | "look" | "hidden": [N], and their sum "affinity"}.
    """
    chosen = latents.sample_items(config, items)
    taste = latents.sample_users(config).taste[users]
    found = {}
    for name, values in latents.item_parts(config, chosen).items():
        known = latents.turn(config, {name: values}, chosen.day)
        found[name] = np.einsum("nd,nd->n", taste, known)
    return found | {"affinity": np.sum(list(found.values()), axis=0)}


def ceilings(
    config: ClosetConfig, kind: SplitKind = "random", count: int = 200
) -> dict[str, dict[str, float]]:
    """What rankings of all items reach, by what they know.

    Each ranks all items but those that the user has in training and validation:

    - "popularity": interactions of the item in training; the floor.
    - "category": what users need, by the whole category.
    - "photo": the look alone.
    - "siblings": that, and how a leaf differs from its siblings: what J1 can learn from
      negatives that share the parent of the positive.
    - "parents": the photo, and the two upper levels of the category.
    - "one_map": like content, with looks as one linear map for all leaves reads them.
    - "content": category and photo, the ceiling of models without item factors.
    - "oracle": all that the choice depends on: also the day, what photos hide, and how
      many users the item finds.

    Args:
      config: of the closet.
      kind: of split, 8:1:1.
      count: users with a test item to average over; fewer where there are not so many.

    Returns:
      {ranking: {"ndcg@10", "accuracy@10"}}.
    """
    users = latents.sample_users(config)
    weights = choices.log_weights(config)
    chosen, test, train, excluded = _prepare(config, kind, count)
    best = {name: _Best(len(chosen)) for name in ("popularity", *_KNOWN)}
    for first in range(0, config.counts().items, _ITEMS_AT_ONCE):
        last = min(first + _ITEMS_AT_ONCE, config.counts().items)
        items = latents.sample_items(config, np.arange(first, last))
        own = excluded.contains(np.arange(len(chosen))[:, None], items.ids)  # [U, R]
        best["popularity"].see(items.ids, np.where(own, -np.inf, train[first:last]))
        for name in _KNOWN:
            known = _known_traits(config, name, items, kind)
            interest = latents.expected_takers(config, items.quality)
            if name == "oracle":
                interest = latents.takers(config, items)
            rates = _log_rates(users, weights, known, interest)[chosen]
            best[name].see(items.ids, np.where(own, -np.inf, rates))
    return {name: _score(found.items, test) for name, found in best.items()}


def _known_traits(
    config: ClosetConfig, name: str, items: Items, kind: SplitKind
) -> np.ndarray:
    """The traits that a ranking knows [R, D]."""
    parts = latents.item_parts(config, items)
    if name == "oracle":
        return latents.turn(config, parts, items.day)
    known = {part: parts[part] for part in _KNOWN[name]}
    if name == "siblings":
        known["leaf"] = latents.among_siblings(config)[items.leaf]
    if not config.visual_style:  # photos tell nothing of the look
        known = {part: values * (part != "look") for part, values in known.items()}
    elif name == "one_map":
        shown = photos.shown_looks(config, items)
        known["look"] = shown @ photos.common_map(config).T
    return latents.turn_on_average(config, known, _TRAINING_SHARE.get(kind, 1.0))


def _log_rates(
    users: Users, weights: np.ndarray, known: np.ndarray, interest: np.ndarray
) -> np.ndarray:
    """affinity + log t of all users, as far as it is known [U, R]."""
    affinity = users.taste @ known.T  # [U, R]
    crowd = slice(0, MOST_CANDIDATES)
    # float32 is twice as fast, and a time need not be exact.
    rates = np.exp((affinity[crowd].T + weights[crowd]).astype(np.float32))
    times = choices.race_times(rates, interest.astype(np.float32))
    return affinity + np.log(times)


def _prepare(
    config: ClosetConfig, kind: SplitKind, count: int
) -> tuple[np.ndarray, Interactions, np.ndarray, UserItems]:
    """The users to average over, their test, training popularity, and their items.

    Returns:
      (user ids [K], their test with users numbered 0 to K - 1, interactions in training
      by item [I], UserItems of training and validation, numbered alike).
    """
    parts = split(Interactions(*choices.interactions(config)), kind)
    tested = np.unique(parts["test"].users)
    rng = generated.generator(config.seed, 0, int(Stream.SPLIT))
    chosen = np.sort(rng.permutation(tested)[:count])
    items = config.counts().items
    train = np.bincount(parts["train"].items, minlength=items).astype(float)
    both = [parts["train"], parts["validation"]]
    known = Interactions(
        np.concatenate([part.users for part in both]),
        np.concatenate([part.items for part in both]),
    )
    excluded = _of_users(known, chosen).by_user(len(chosen))
    return chosen, _of_users(parts["test"], chosen), train, excluded


def _of_users(interactions: Interactions, chosen: np.ndarray) -> Interactions:
    """The interactions of some users, who are numbered in their order."""
    kept = interactions.take(np.isin(interactions.users, chosen))
    return Interactions(np.searchsorted(chosen, kept.users), kept.items)


class _Best:
    """The K best items of each user so far."""

    def __init__(self, users: int):
        self.items = np.full((users, K), -1)
        self._scores = np.full((users, K), -np.inf)

    def see(self, ids: np.ndarray, scores: np.ndarray) -> None:
        """Ranks items ids [R] by scores [U, R] among those seen before."""
        rows = np.arange(len(scores))[:, None]
        fewer = min(K, len(ids))
        some = np.argpartition(-scores, fewer - 1, axis=1)[:, :fewer]
        new_items = np.broadcast_to(ids, scores.shape)[rows, some]
        items = np.concatenate([self.items, new_items], axis=1)
        values = np.concatenate([self._scores, scores[rows, some]], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, :K]
        self._scores = values[rows, order]
        self.items = np.where(np.isneginf(self._scores), -1, items[rows, order])


def _score(lists: np.ndarray, test: Interactions) -> dict[str, float]:
    rows = test.by_user(len(lists))
    values = metrics.per_user(lists, rows.starts, rows.items, ks=(K,))
    return {name: float(values[name].mean()) for name in (f"ndcg@{K}", f"accuracy@{K}")}
