"""All that a run knows of users and items: who took what, and what the items are."""

import dataclasses
import functools
import hashlib
from typing import TYPE_CHECKING

import numpy as np

from recsys.corpus.feature_files import Features, Scaling
from recsys.corpus.interactions import Interactions, UserItems
from recsys.corpus.tree import CategoryTree

if TYPE_CHECKING:  # steps run without pandas
    from recsys.corpus.attribute_features import AttributeEncoder


@dataclasses.dataclass(frozen=True, eq=False)
class Catalogue:
    """The items that can be recommended.

    Attributes:
      item_ids: [I] what names an item for the user of the program.
      tree: of their categories.
      leaf_of_item: int32 [I].
      features: of all items, as they are stored.
      feature_rows: int64 [I], each item's row there; None for their own order.
      scaling: fitted on training items.
      encoder: of attributes, where the features come from these.
    """

    item_ids: np.ndarray
    tree: CategoryTree
    leaf_of_item: np.ndarray
    features: Features
    feature_rows: np.ndarray | None
    scaling: Scaling
    encoder: "AttributeEncoder | None" = None

    @property
    def item_count(self) -> int:
        """I."""
        return len(self.leaf_of_item)

    def take_stored(self, items: np.ndarray) -> np.ndarray:
        """Features [n, F] of items [n], not scaled."""
        return self.features.take(
            items if self.feature_rows is None else self.feature_rows[items]
        )

    def take_features(self, items: np.ndarray) -> np.ndarray:
        """Scaled features float32 [..., F] of items [...]."""
        scaled = self.scaling.apply(self.take_stored(np.asarray(items).reshape(-1)))
        return scaled.reshape(*np.shape(items), -1)


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """Items, users and their interactions, split.

    Attributes:
      catalogue: of the items.
      user_ids: [U] what names a user.
      splits: {"train" | "validation" | "test": distinct pairs, by user then item}.
      duplicates: interactions that were dropped because the pair was there already.
      rejected: rows of the table of interactions that were rejected.
      rejected_items: rows of the table of items that were rejected.
    """

    catalogue: Catalogue
    user_ids: np.ndarray
    splits: dict[str, Interactions]
    duplicates: int = 0
    rejected: int = 0
    rejected_items: int = 0

    @property
    def user_count(self) -> int:
        """U."""
        return len(self.user_ids)

    @functools.cached_property
    def train(self) -> UserItems:
        """The training items of each user."""
        return self.of_users("train")

    @functools.cached_property
    def seen(self) -> np.ndarray:
        """Whether training has the item, bool [I]."""
        seen = np.zeros(self.catalogue.item_count, bool)
        seen[self.splits["train"].items] = True
        return seen

    def of_users(self, *names: str) -> UserItems:
        """The items of each user in some splits together."""
        parts = [self.splits[name] for name in names]
        joined = Interactions(
            np.concatenate([part.users for part in parts]),
            np.concatenate([part.items for part in parts]),
        )
        return joined.by_user(self.user_count)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of all that training depends on."""
        digest = hashlib.sha256(self.catalogue.features.fingerprint.encode())
        for name in sorted(self.splits):
            part = self.splits[name]
            for column in (part.users, part.items, part.weights):
                if column is not None:
                    digest.update(column.tobytes())
        digest.update(self.catalogue.leaf_of_item.tobytes())
        if self.catalogue.feature_rows is not None:
            digest.update(self.catalogue.feature_rows.tobytes())
        digest.update(repr(self.catalogue.tree.leaves).encode())
        return digest.hexdigest()[:16]
