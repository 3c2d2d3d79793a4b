"""Lists as a table: a row an item, with what is to be said of its user."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from recsys.corpus import requests
from recsys.ranking.top_k import TopK

COLUMNS = ("user", "rank", "item", "score", "user_is", "note", "error")
_NAMED = 10  # unknown items that a note names

UNKNOWN_USER = "unknown user: what all users have in common"


def make_table(
    users: Sequence[str],
    best: TopK,
    kinds: np.ndarray,
    notes: np.ndarray,
    item_ids: np.ndarray,
) -> pd.DataFrame:
    """The table of `Model.recommend`.

    Args:
      users: [Q] their ids.
      best: their lists [Q, K].
      kinds: [Q] "known", "folded in" or "unknown".
      notes: [Q] of `make_notes`.
      item_ids: text [I] of the catalogue.
    """
    listed = best.items >= 0
    # A user who has taken all but a few gets a shorter list, and one row at least.
    kept = listed.copy()
    kept[:, 0] = True
    rows, ranks = np.nonzero(kept)
    is_item = listed[rows, ranks]
    ids = item_ids.astype(object)[np.maximum(best.items[rows, ranks], 0)]
    return pd.DataFrame(
        {
            "user": np.asarray(users, object)[rows],
            "rank": ranks + 1,
            "item": np.where(is_item, ids, ""),
            "score": np.where(is_item, best.scores[rows, ranks], np.nan),
            "user_is": kinds[rows],
            "note": notes[rows],
            "error": np.where(is_item, "", "there is no item left for this user"),
        },
        columns=list(COLUMNS),
    )


def make_notes(
    users: Sequence[str],
    kinds: np.ndarray,
    pairs: Sequence[tuple[str, str]],
    known_users: pd.Index,
    item_ids: pd.Index,
) -> np.ndarray:
    """What is not known of that which each user's list was asked with.

    Args:
      users: [Q] their ids.
      kinds: [Q] "known", "folded in" or "unknown".
      pairs: new interactions (user, item).
      known_users: text [U] of training.
      item_ids: text [I] of the catalogue.

    Returns:
      Text [Q], "" where all is known.
    """
    given: dict[str, dict[str, None]] = {}
    for user, item in pairs:
        given.setdefault(user, {})[item] = None
    notes = np.full(len(users), "", object)
    for row, (user, kind) in enumerate(zip(users, kinds, strict=True)):
        parts = []
        if kind == "unknown":
            parts.append(UNKNOWN_USER + _hint([user], known_users))
        items = given.get(user, {})
        if unknown := [item for item in items if item not in item_ids]:
            some = requests.some(unknown, _NAMED)
            count = f"{len(unknown):,} of {len(items):,} items unknown: {some}"
            parts.append(count + _hint(unknown, item_ids))
        notes[row] = "; ".join(parts)
    return notes


def _hint(unknown: Sequence[str], known: pd.Index) -> str:
    if any(requests.holds_several(text, known) for text in unknown):
        return " (several ids in one? give each a row of its own)"
    return ""
