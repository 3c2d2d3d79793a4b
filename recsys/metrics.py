"""How good ranked lists are: the paper's four metrics, and those used beside them.

Let H be the list of user u, of n = min(K, candidates) items by rank t = 1..n, G the
user's test items and h the number of hits, the t with H_t in G. Yu et al.,
"Personalized Item Recommendation for Second-hand Trading Platform", ACM MM 2020, Eq.
10 to 13, read as their tables show:

  accuracy@K  share of users with h > 0 (Eq. 10).
  auc@K       pairs (hit above miss) / (h (n - h)), 0 to 1; h = 0 gives 0 and h = n > 0
              gives 1. Eq. 12 also divides by 2, which no published value fits.
  ndcg@K      sum over hits of 1 / log2(1 + t), divided by its largest value, that of
              min(K, |G|) hits at the top; the mean over users (Eq. 11 prints a sum).
  precision@K h / K, also where n < K.
  recall@K    h / |G|.
  f1@K        2 P R / (P + R) of the means P and R over users (Eq. 13), not the mean of
              a user's own; 0 where P or R is 0.
  mrr@K       1 / rank of the first hit, 0 without one.
  coverage@K  share of the items that stand in some list.
  gini@K      how unevenly the lists spread over all items: 0 if all stand in equally
              many, near 1 if few items fill them.

Users without a test item are left out unless asked for. "seen/" and "unseen/" before a
name say that only test items that training has (not) seen count as G, and users
without one are left out; the list stays as it is, so hits of the other kind are
misses. Their coverage and Gini are those of the seen (unseen) items. Coverage and Gini
need no test items, and are over all lists that are given. numpy, float64, on the host.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats

KS = (5, 10, 20)

# A value of a user, 0 to 1, is added up as a whole number of 2^-62: such sums do not
# depend on the order or on how users are divided.
_BITS = 62


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
    wanted = first[:, None] + lists  # [U, Kmax]
    place = np.searchsorted(tests, wanted)  # [U, Kmax]
    found = tests[np.minimum(place, len(tests) - 1)] == wanted
    # -1 would be the largest item of the user before.
    return found & (lists >= 0)


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
    """The metrics that are means over users, user by user, for paired tests.

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
      {"accuracy@5", "auc@5", "ndcg@5", "precision@5", "recall@5", "mrr@5", ... and
      "seen/accuracy@5", "unseen/accuracy@5", ...: float64 [users averaged over]}, users
      in the order of the lists.

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
        found = _user_values(hits[kept], lengths[kept], sizes[kept], ks, all_hits_auc)
        values |= {group + name: value for name, value in found.items()}
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
    places = np.cumsum(hits * ranks, axis=1)  # [U, Kmax]
    gains = np.cumsum(hits * discounts, axis=1)  # [U, Kmax]
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])  # of 0, 1, ... hits
    first = np.where(hits.any(axis=1), hits.argmax(axis=1), hits.shape[1])
    values: dict[str, np.ndarray] = {}
    for k in ks:
        h, n = counts[:, k - 1], np.minimum(lengths, k)
        # Below the hit at 0-based place p stand n - 1 - p items. Summed over hits this
        # also counts the h (h - 1) / 2 pairs of two hits.
        pairs = h * (n - 1) - places[:, k - 1] - h * (h - 1) // 2
        auc = np.where((h > 0) & (h == n), float(all_hits_auc), 0.0)
        values |= {
            f"accuracy@{k}": (h > 0).astype(np.float64),
            f"auc@{k}": _divide(pairs, h * (n - h), auc),
            f"ndcg@{k}": _divide(gains[:, k - 1], ideal[np.minimum(sizes, k)]),
            f"precision@{k}": h / k,
            f"recall@{k}": _divide(h, sizes),
            f"mrr@{k}": np.where(first < k, 1 / (first + 1), 0.0),
        }
    return values


def _divide(
    above: np.ndarray, below: np.ndarray, otherwise: np.ndarray | None = None
) -> np.ndarray:
    """above / below [U]; `otherwise`, or 0, where below is 0."""
    start = np.zeros(len(above)) if otherwise is None else otherwise
    return np.divide(above, below, out=start, where=below != 0)


@dataclasses.dataclass(frozen=True, eq=False)
class RankingSums:
    """What the metrics of some users add up from: `sums_a + sums_b`.

    The metrics of joined parts are those of the whole, bit for bit, in whatever parts
    and order the users came.

    Attributes:
      item_count: I.
      seen: bool [I], or None.
      ks: list lengths K.
      users: averaged over, by "" (all), "seen/" and "unseen/".
      totals: whole multiples of 2^-62, by the names of `per_user`.
      recommended: int [R], the items that stand in some list, ascending.
      counts: int64 [number of ks, R], in how many lists an item is among the first K.
    """

    item_count: int
    seen: np.ndarray | None
    ks: tuple[int, ...]
    users: dict[str, int]
    totals: dict[str, int]
    recommended: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(
        cls,
        lists: np.ndarray,
        starts: np.ndarray,
        items: np.ndarray,
        item_count: int,
        *,
        seen: np.ndarray | None = None,
        ks: Sequence[int] = KS,
        count_without_test: bool = False,
        all_hits_auc: float = 1.0,
    ) -> "RankingSums":
        """The sums of U users; arguments as of `per_user`.

        Raises:
          ValueError: where the arrays are not as said, or hold items beyond item_count.
        """
        values = per_user(
            lists,
            starts,
            items,
            seen=seen,
            ks=ks,
            count_without_test=count_without_test,
            all_hits_auc=all_hits_auc,
        )
        lists = np.asarray(lists)
        seen = None if seen is None else np.asarray(seen, bool)
        if seen is not None and len(seen) != item_count:
            raise ValueError(f"seen are [I] = [{item_count}], not [{len(seen)}]")
        largest = max(np.max(lists, initial=-1), np.max(items, initial=-1))
        if largest >= item_count:
            raise ValueError(f"item {largest} is not among {item_count}")
        groups = ("",) if seen is None else ("", "seen/", "unseen/")
        users = {group: len(values[f"{group}accuracy@{ks[0]}"]) for group in groups}
        totals = {name: _add_exactly(value) for name, value in values.items()}
        counted = _count_lists(lists, ks)
        return cls(item_count, seen, tuple(ks), users, totals, *counted)

    def __add__(self, other: "RankingSums") -> "RankingSums":
        same = (self.item_count, self.ks) == (other.item_count, other.ks)
        if not same or not np.array_equal(self.seen, other.seen):  # type: ignore[arg-type]
            raise ValueError("sums over other items, seen items or K do not add")
        recommended = np.union1d(self.recommended, other.recommended)
        counts = np.zeros((len(self.ks), len(recommended)), np.int64)
        for part in (self, other):
            counts[:, np.searchsorted(recommended, part.recommended)] += part.counts
        users = {name: n + other.users[name] for name, n in self.users.items()}
        totals = {name: n + other.totals[name] for name, n in self.totals.items()}
        return dataclasses.replace(
            self, users=users, totals=totals, recommended=recommended, counts=counts
        )

    def metrics(self) -> dict[str, float]:
        """All metrics, and "users" (also "seen/users", "unseen/users") averaged over.

        NaN where there is no user to average over, no item to cover, or no list.
        """
        values = {f"{group}users": float(n) for group, n in self.users.items()}
        for name, total in self.totals.items():
            users = self.users[name[: name.find("/") + 1]]
            values[name] = total / (users << _BITS) if users else np.nan
        for group in self.users:
            size, chosen = self.item_count, self.counts
            if group and self.seen is not None:
                members = self.seen if group == "seen/" else ~self.seen
                size = int(members.sum())
                chosen = chosen[:, members[self.recommended]]
            for k, counts in zip(self.ks, chosen, strict=True):
                p, r = values[f"{group}precision@{k}"], values[f"{group}recall@{k}"]
                values[f"{group}f1@{k}"] = 2 * p * r / (p + r) if p + r != 0 else 0.0
                covered = int(np.count_nonzero(counts))
                values[f"{group}coverage@{k}"] = covered / size if size else np.nan
                values[f"{group}gini@{k}"] = gini(counts, size)
        return values


def _count_lists(lists: np.ndarray, ks: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """`recommended` [R] and `counts` [number of ks, R] of `RankingSums`."""
    found = [np.unique(lists[:, :k], return_counts=True) for k in ks]
    recommended = found[int(np.argmax(ks))][0]
    counts = np.zeros((len(ks), len(recommended)), np.int64)
    for row, (present, times) in zip(counts, found, strict=True):
        row[np.searchsorted(recommended, present)] = times
    items = recommended >= 0
    return recommended[items], counts[:, items]


def _add_exactly(values: np.ndarray) -> int:
    """Sum of values between 0 and 1, as a multiple of 2^-62."""
    whole = np.rint(np.ldexp(values, _BITS)).astype(np.int64)
    # In two halves, for two users at 1 would fill 64 bits.
    high, low = whole >> 32, whole & 0xFFFFFFFF
    return (int(high.sum()) << 32) + int(low.sum())


def gini(counts: np.ndarray, item_count: int) -> float:
    """Gini coefficient of how often items are recommended.

    G = sum_i (2 i - n - 1) x_i / (n sum_i x_i) with x ascending, which is the mean of
    |x_i - x_j| over all pairs, divided by twice the mean of x.

    Args:
      counts: int [R], R <= n; the other n - R items count 0.
      item_count: n.

    Returns:
      0 (all equal) to 1 - 1/n (one item has all); NaN if nothing is counted.
    """
    ascending = np.sort(np.asarray(counts, np.int64))
    total = int(ascending.sum())
    if not total:
        return float("nan")
    place = np.arange(item_count - len(ascending), item_count) + 1
    return int(np.sum((2 * place - item_count - 1) * ascending)) / (item_count * total)


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """How two models differ over the same users.

    Attributes:
      users: n.
      mean_difference: mean of a - b.
      low: lower end of its interval, Student's t over users; NaN below 2 users.
      high: upper end.
      wilcoxon_p: two-sided p of the signed-rank test, users without a difference left
        out (Wilcoxon); 1 where no user has one.
    """

    users: int
    mean_difference: float
    low: float
    high: float
    wilcoxon_p: float


def paired_test(a: np.ndarray, b: np.ndarray, confidence: float = 0.95) -> PairedTest:
    """Compares a metric of two models user by user.

    Args:
      a: [n], one name of `per_user`.
      b: [n], the same name and users under the other model.
      confidence: of the interval.

    Raises:
      ValueError: where a and b are not of the same users, or of none.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise ValueError(f"not the same users: {a.shape} and {b.shape} values")
    difference = a - b
    mean, low, high, p = float(difference.mean()), np.nan, np.nan, 1.0
    if len(a) > 1:
        error = float(difference.std(ddof=1)) / len(a) ** 0.5
        reach = float(stats.t.ppf((1 + confidence) / 2, len(a) - 1)) * error
        low, high = mean - reach, mean + reach
    changed = difference[difference != 0]
    if len(changed):
        p = float(stats.wilcoxon(changed).pvalue)
    return PairedTest(len(a), mean, low, high, p)
