"""How good ranked lists are: the paper's four metrics, and those used beside them.

Let H be the list of user u, of n = min(K, candidates) items by rank t = 1..n, G the
user's test items and h the number of hits, the t with H_t in G. Yu et al.,
"Personalized Item Recommendation for Second-hand Trading Platform", ACM MM 2020, Eq.
10 to 13, read as their tables show:

  accuracy@K  share of users with h > 0 (Eq. 10).
  hr@K        hit rate: the same under the name that most know.
  auc@K       pairs (hit above miss) / (h (n - h)), 0 to 1; h = 0 gives 0 and h = n > 0
              gives 1. Eq. 12 also divides by 2, which no published value fits.
  ndcg@K      sum over hits of 1 / log2(1 + t), divided by its largest value, that of
              min(K, |G|) hits at the top; the mean over users (Eq. 11 prints a sum).
  precision@K h / K, also where n < K.
  recall@K    h / |G|.
  f1@K        2 P R / (P + R) of the means P and R over users (Eq. 13), not the mean of
              a user's own; 0 where P or R is 0.
  mrr@K       1 / rank of the first hit, 0 without one.
  map@K       sum over hits of (hits down to rank t) / t, divided by min(K, |G|); the
              mean over users of this average precision.
  coverage@K  share of the items that stand in some list.
  gini@K      how unevenly the lists spread over all items: 0 if all stand in equally
              many, near 1 if few items fill them.

Users without a test item are left out unless asked for. "seen/" and "unseen/" before a
name say that only test items that training has (not) seen count as G, and users
without one are left out; the list stays as it is, so hits of the other kind are
misses. Their coverage and Gini are those of the seen (unseen) items. Coverage and Gini
need no test items, and are over all lists that are given. numpy, float64, on the host.
"""

from collections.abc import Iterator, Sequence

import numpy as np

KS = (5, 10, 20)
# Means over users that say how good lists are; the others say what they spread over.
QUALITY = ("accuracy", "hr", "auc", "ndcg", "f1", "precision", "recall", "mrr", "map")
SPREAD = ("coverage", "gini")
GROUPS = ("", "seen/", "unseen/")  # of test items


def find_hits(lists: np.ndarray, starts: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Which entries of the lists are test items of their user.

    Args:
      lists: int [U, Kmax], items by rank, -1 after the last one.
      starts: int64 [U + 1], the test items of user u are items[starts[u]:starts[u+1]].
      items: int [N], ascending within a user.

    Returns:
      bool [U, Kmax]; False at -1.
    """
    lists, starts, items = np.asarray(lists), np.asarray(starts), np.asarray(items)
    if not len(items) or not lists.size:
        return np.zeros(lists.shape, bool)
    # (user, item) as one number; ascending, for users ascend and items within them.
    stride = int(max(lists.max(), items.max())) + 1
    first = np.arange(len(lists), dtype=np.int64) * stride  # [U]
    tests = np.repeat(first, np.diff(starts)) + items  # [N]
    listed = first[:, None] + lists  # [U, Kmax]
    nearest = np.minimum(np.searchsorted(tests, listed), len(tests) - 1)  # [U, Kmax]
    # -1 would be the largest item of the user before.
    return (tests[nearest] == listed) & (lists >= 0)


def per_user(
    lists: np.ndarray,
    starts: np.ndarray,
    items: np.ndarray,
    *,
    seen: np.ndarray | None = None,
    ks: Sequence[int] = KS,
    count_without_test: bool = False,
    all_hits_auc: float = 1.0,
) -> dict[str, np.ndarray]:
    """The metrics that are means over users, user by user.

    Args:
      lists: int [U, Kmax], items by rank without repetition, -1 after the last one of
        a user who has fewer than Kmax candidates; Kmax is at least the largest K.
      starts: int64 [U + 1], the test items of user u are items[starts[u]:starts[u+1]].
      items: int [N], ascending within a user, without repetition.
      seen: bool [I], whether training has seen the item; None leaves out the metrics of
        seen and unseen items.
      ks: list lengths K.
      count_without_test: whether users without a test item (of the kind) count, as 0.
      all_hits_auc: AUC where all items of the list are hits, 0 to 1.

    Returns:
      {"accuracy@5", "hr@5", "auc@5", "ndcg@5", "precision@5", "recall@5", "mrr@5",
      "map@5", ... and "seen/accuracy@5", "unseen/accuracy@5", ...: float64 [users
      averaged over]}, users in the order of the lists.

    Raises:
      ValueError: where the arrays are not as said.
    """
    lists, starts, items = np.asarray(lists), np.asarray(starts), np.asarray(items)
    seen = None if seen is None else np.asarray(seen, bool)
    _check_lists(lists, ks, seen)
    _check_tests(len(lists), starts, items, seen)
    lengths = np.count_nonzero(lists >= 0, axis=1)  # [U]
    values: dict[str, np.ndarray] = {}
    for group, hits, sizes in _groups(lists, starts, items, seen):
        kept = np.full(len(lists), True) if count_without_test else sizes > 0
        group_values = _user_values(
            hits[kept], lengths[kept], sizes[kept], ks, all_hits_auc
        )
        values |= {group + name: value for name, value in group_values.items()}
    return values


def _check_lists(lists: np.ndarray, ks: Sequence[int], seen: np.ndarray | None) -> None:
    """Refuses lists that would give numbers without a meaning."""
    if lists.ndim != 2 or not np.issubdtype(lists.dtype, np.integer):
        raise ValueError(
            f"lists are integers [U, Kmax], not {lists.dtype} {lists.shape}"
        )
    if not ks or min(ks) < 1 or max(ks) > lists.shape[1]:
        raise ValueError(
            f"K = {tuple(ks)} is not within the {lists.shape[1]} ranks of the lists; "
            "fill shorter lists with -1"
        )
    if lists.size and lists.min() < -1:
        raise ValueError("an item of the lists is below -1")
    if seen is not None and lists.size and lists.max() >= len(seen):
        raise ValueError(f"item {lists.max()} of the lists is not among {len(seen)}")
    if ((lists[:, :-1] < 0) & (lists[:, 1:] >= 0)).any():
        raise ValueError("-1 stands before an item in a list")
    ordered = np.sort(lists, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise ValueError("an item stands twice in a list")


def _check_tests(
    users: int, starts: np.ndarray, items: np.ndarray, seen: np.ndarray | None
) -> None:
    """Refuses test items that are not U ascending runs."""
    if starts.shape != (users + 1,) or starts[0] != 0 or starts[-1] != len(items):
        raise ValueError(
            f"starts are [U + 1] = [{users + 1}] from 0 to {len(items)}, the number of "
            f"test items; they are {starts.shape}"
        )
    sizes = np.diff(starts)
    if (sizes < 0).any():
        raise ValueError("starts descend")
    if len(items) and items.min() < 0:
        raise ValueError("a test item is negative")
    if seen is not None and len(items) and items.max() >= len(seen):
        raise ValueError(f"test item {items.max()} is not among {len(seen)}")
    owner = np.repeat(np.arange(users), sizes)  # [N]
    if ((np.diff(items) <= 0) & (np.diff(owner) == 0)).any():
        raise ValueError("test items do not ascend within a user")


def _groups(
    lists: np.ndarray, starts: np.ndarray, items: np.ndarray, seen: np.ndarray | None
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, hits bool [U, Kmax], |G| int64 [U]) of all, seen and unseen test items."""
    hits = find_hits(lists, starts, items)
    yield "", hits, np.diff(starts)
    if seen is None:
        return
    for name, members in (("seen/", seen), ("unseen/", ~seen)):
        below = np.concatenate([[0], np.cumsum(members[items])])  # [N + 1]
        # -1 takes the last item's, and is no hit.
        yield name, hits & members[lists], np.diff(below[starts])


def _user_values(
    hits: np.ndarray,
    lengths: np.ndarray,
    sizes: np.ndarray,
    ks: Sequence[int],
    all_hits_auc: float,
) -> dict[str, np.ndarray]:
    """{name: float64 [U]}, 0 for users without test items.

    From hits [U, Kmax], lengths of the lists [U] and numbers |G| of test items [U].
    """
    ranks = np.arange(hits.shape[1])
    discounts = 1 / np.log2(ranks + 2)
    # Running sums add rank by rank, so a perfect list has exactly the ideal's value.
    counts = np.cumsum(hits, axis=1, dtype=np.int64)  # [U, Kmax]
    rank_sums = np.cumsum(hits * ranks, axis=1)  # [U, Kmax]
    gains = np.cumsum(hits * discounts, axis=1)  # [U, Kmax]
    precisions = np.cumsum(hits * counts / (ranks + 1), axis=1)  # [U, Kmax]
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])  # of 0, 1, ... hits
    first = np.where(hits.any(axis=1), hits.argmax(axis=1), hits.shape[1])
    values: dict[str, np.ndarray] = {}
    for k in ks:
        h, n = counts[:, k - 1], np.minimum(lengths, k)
        # Below the hit at 0-based place p stand n - 1 - p items. Summed over hits this
        # also counts the h (h - 1) / 2 pairs of two hits.
        pairs = h * (n - 1) - rank_sums[:, k - 1] - h * (h - 1) // 2
        auc = np.where((h > 0) & (h == n), float(all_hits_auc), 0.0)
        values |= {
            f"accuracy@{k}": (h > 0).astype(np.float64),
            f"hr@{k}": (h > 0).astype(np.float64),
            f"auc@{k}": _divide(pairs, h * (n - h), auc),
            f"ndcg@{k}": _divide(gains[:, k - 1], ideal[np.minimum(sizes, k)]),
            f"precision@{k}": h / k,
            f"recall@{k}": _divide(h, sizes),
            f"mrr@{k}": np.where(first < k, 1 / (first + 1), 0.0),
            f"map@{k}": _divide(precisions[:, k - 1], np.minimum(sizes, k)),
        }
    return values


def _divide(
    above: np.ndarray, below: np.ndarray, otherwise: np.ndarray | None = None
) -> np.ndarray:
    """above / below [U]; `otherwise`, or 0, where below is 0."""
    start = np.zeros(len(above)) if otherwise is None else otherwise
    return np.divide(above, below, out=start, where=below != 0)


def ranking_metrics(
    lists: np.ndarray,
    starts: np.ndarray,
    items: np.ndarray,
    item_count: int,
    *,
    seen: np.ndarray | None = None,
    ks: Sequence[int] = KS,
    count_without_test: bool = False,
    all_hits_auc: float = 1.0,
) -> dict[str, float]:
    """All metrics of the lists of U users.

    Args:
      item_count: I.
      lists, starts, items, seen, ks, count_without_test, all_hits_auc: as of
        `per_user`.

    Returns:
      {name: value}, and "users" (also "seen/users", "unseen/users") averaged over. NaN
      where there is no user to average over, no item to cover, or no list.

    Raises:
      ValueError: where the arrays are not as said, or hold items beyond item_count.
    """
    lists, starts, items = np.asarray(lists), np.asarray(starts), np.asarray(items)
    by_user = per_user(
        lists,
        starts,
        items,
        seen=seen,
        ks=ks,
        count_without_test=count_without_test,
        all_hits_auc=all_hits_auc,
    )
    groups = {"": np.ones(item_count, bool)}
    if seen is not None:
        seen = np.asarray(seen, bool)
        if len(seen) != item_count:
            raise ValueError(f"seen are [I] = [{item_count}], not [{len(seen)}]")
        groups |= {"seen/": seen, "unseen/": ~seen}
    largest = max(np.max(lists, initial=-1), np.max(items, initial=-1))
    if largest >= item_count:
        raise ValueError(f"item {largest} is not among {item_count}")
    values = {f"{g}users": float(len(by_user[f"{g}accuracy@{ks[0]}"])) for g in groups}
    values |= {name: _mean(column) for name, column in by_user.items()}
    # [I] by K, in how many lists an item is; -1 is counted before item 0.
    counts = [
        np.bincount(lists[:, :k].ravel() + 1, minlength=item_count + 1)[1:] for k in ks
    ]
    for group, members in groups.items():
        for k, often in zip(ks, counts, strict=True):
            p, r = values[f"{group}precision@{k}"], values[f"{group}recall@{k}"]
            values[f"{group}f1@{k}"] = 2 * p * r / (p + r) if p + r != 0 else 0.0
            chosen = often[members]
            covered = np.count_nonzero(chosen) / len(chosen) if len(chosen) else np.nan
            values[f"{group}coverage@{k}"] = covered
            values[f"{group}gini@{k}"] = gini(chosen)
    return values


def _mean(values: np.ndarray) -> float:
    """Mean of values [U] between 0 and 1, rounded once; NaN of none.

    As whole multiples of 2^-62, so that it does not depend on the order of the users.
    """
    if not len(values):
        return float("nan")
    whole = np.rint(np.ldexp(values, 62)).astype(np.int64)
    # In two halves, for two users at 1 would fill 64 bits.
    high, low = whole >> 32, whole & 0xFFFFFFFF
    return ((int(high.sum()) << 32) + int(low.sum())) / (len(values) << 62)


def count_ties(scores: np.ndarray, k: int) -> float:
    """Share of the neighbours within the first k places that have equal scores.

    Args:
      scores: float [U, Kmax], descending, -inf after the last item of a list.
      k: places that are looked at.

    Returns:
      0 to 1; 0 where no list has two items.
    """
    above, below = scores[:, : k - 1], scores[:, 1:k]  # [U, k - 1]
    both = below > -np.inf
    return float(np.sum((above == below) & both) / max(np.sum(both), 1))


def gini(counts: np.ndarray) -> float:
    """Gini coefficient of how often items are recommended.

    G = sum_i (2 i - n - 1) x_i / (n sum_i x_i) with x ascending, which is the mean of
    |x_i - x_j| over all pairs, divided by twice the mean of x.

    Args:
      counts: int [n].

    Returns:
      0 (all equal) to 1 - 1/n (one item has all); NaN if nothing is counted.
    """
    ascending = np.sort(np.asarray(counts, np.int64))
    n, total = len(ascending), int(ascending.sum())
    if not total:
        return float("nan")
    return int(np.sum((2 * np.arange(1, n + 1) - n - 1) * ascending)) / (n * total)
