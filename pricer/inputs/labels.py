"""What the single-task networks learn: labels that only part of the items carry.

Category and brand are one of many (softmax), attribute and specification are sets
(sigmoids), and the network of the comparison learns the price. Each network is trained
on the items that carry its label (paper, section 3.2).
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from common.data.listings import Listings
from common.errors import UserError
from common.tables.encoders import MISSING, RESERVED, Encoders, Vocabulary
from common.tables.schema import Attribute, Schema, did_you_mean
from pricer.config import TASKS, LabelsConfig

PRICE = "price"
Kind = Literal["one", "several", "price"]


@dataclasses.dataclass(frozen=True, eq=False)
class Labels:
    """The labels of one task for all N rows.

    Attributes:
      task: its name: one of `TASKS`, or "price".
      kind: "one" of K classes, "several" of K, or a "price".
      names: of the K classes; () for a price.
      target: int32 [N] class, bool [N, K] members, or float32 [N] log price in
        standard deviations from the mean of the training rows.
      known: bool [N] or, for "several", bool [N, K]: where the target is known.
    """

    task: str
    kind: Kind
    names: tuple[str, ...]
    target: np.ndarray
    known: np.ndarray

    @property
    def outputs(self) -> int:
        """Width of the network's output."""
        return 1 if self.kind == "price" else len(self.names)

    @property
    def usable(self) -> np.ndarray:
        """bool [N]: rows that carry the label."""
        return np.any(self.known.reshape(len(self.known), -1), axis=1)


def make_labels(listings: Listings, config: LabelsConfig) -> dict[str, Labels]:
    """The labels that exist there, by task.

    Vocabularies come from the training rows; a class with fewer than
    `config.min_count` of them is left out, and so is its item where it has one only.
    A task with fewer than two classes, or one member, left is left out.

    Args:
      listings: all rows.
      config: which attribute of the schema is which label.

    Raises:
      UserError: a name that the schema lacks; no task at all.
    """
    names_of = {
        "category": [config.category],
        "brand": [config.brand],
        "attribute": config.attribute,
        "specification": config.specification,
    }
    by_task = {}
    for task in TASKS:
        names = [name for name in names_of[task] if name]
        if not names:
            continue
        attributes = [find(listings.schema, name, task) for name in names]
        labels = _encode(task, attributes, listings, config.min_count)
        if labels is not None:
            by_task[task] = labels
    if not by_task:
        raise UserError(
            "no task has two classes with --labels.min_count="
            f"{config.min_count} training rows or more; lower it, or name other"
            " attributes with --labels.category=NAME and so on"
        )
    return by_task


def describe_unused(schema: Schema, config: LabelsConfig) -> str:
    """Says which attributes of the schema are not read; "" where all are.

    Texts are in the schema only where they are read.
    """
    single = (config.category, config.brand, config.seller, config.table)
    named = {*single, *config.attribute, *config.specification}
    unused = [a for a in schema.attributes if a.name not in named and a.kind != "text"]
    if not unused:
        return ""
    names = ", ".join(attribute.name for attribute in unused)
    what = f"{len(unused)} of {len(schema.attributes)} attributes unused: {names}"
    usable = [a.name for a in unused if a.kind != "continuous"]
    if not usable:
        return f"{what}; pricer reads no numbers"
    known = {attribute.name for attribute in schema.attributes}
    joined = ",".join([*(name for name in config.attribute if name in known), *usable])
    return f"{what}; --labels.attribute={joined} uses those that are no numbers"


def find(schema: Schema, name: str, task: str) -> Attribute:
    """The attribute that a label is read from.

    Raises:
      UserError: there is none of that name, or it holds numbers or a text.
    """
    by_name = {attribute.name: attribute for attribute in schema.attributes}
    if name not in by_name:
        raise UserError(
            f"--labels.{task}={name}: the schema has no such attribute"
            f"{did_you_mean(name, by_name)}; it has {', '.join(by_name)}. Leave it"
            f" empty (--labels.{task}=) where the data has none"
        )
    attribute = by_name[name]
    if attribute.kind in ("continuous", "text"):
        raise UserError(
            f"--labels.{task}={name}: must not be a {attribute.kind} attribute"
        )
    return attribute


def find_rare(
    frame: pd.DataFrame, attributes: Sequence[Attribute], min_count: int
) -> list[str]:
    """Classes and members that fewer than `min_count` rows have.

    Args:
      frame: training rows.
      attributes: categorical ones and sets.
      min_count: rows that are enough.

    Returns:
      Of each attribute in turn, the commonest first.
    """
    schema = Schema(tuple(attributes))
    everything, kept = (
        [
            fitted.categories
            for fitted in Encoders.fit(frame, schema, min_count=count).attributes
            if isinstance(fitted, Vocabulary)
        ]
        for count in (1, min_count)
    )
    # The commonest come first, so those that are kept begin the list.
    pairs = zip(everything, kept, strict=True)
    return [name for whole, part in pairs for name in whole[len(part) :]]


def texts(listings: Listings, name: str, task: str) -> np.ndarray | None:
    """Cells [N] of a categorical attribute, None where missing; None for no name.

    Raises:
      UserError: there is no such attribute, or it is no categorical one.
    """
    if not name:
        return None
    attribute = find(listings.schema, name, task)
    if attribute.kind != "categorical":
        raise UserError(f"--labels.{task}={name}: must be a categorical attribute")
    cells = listings.frame[attribute.columns[0]]
    return cells.astype(object).where(cells.notna(), None).to_numpy()


def price_labels(log_prices: np.ndarray, train: np.ndarray) -> Labels:
    """The price itself as a label.

    Args:
      log_prices: [N].
      train: int64 [n], rows to standardise by.
    """
    center, scale = log_prices[train].mean(), log_prices[train].std() or 1.0
    target = ((log_prices - center) / scale).astype(np.float32)
    return Labels(PRICE, "price", (), target, np.ones(len(target), bool))


def _encode(
    task: str, attributes: Sequence[Attribute], listings: Listings, min_count: int
) -> Labels | None:
    train = listings.frame.iloc[listings.indices("train")]
    encoders = Encoders.fit(train, Schema(tuple(attributes)), min_count=min_count)
    vocabularies = [v for v in encoders.attributes if isinstance(v, Vocabulary)]
    if len(attributes) == 1 and attributes[0].kind == "categorical":
        return _one_of(task, vocabularies[0], encoders, listings.frame)
    return _several_of(task, vocabularies, encoders, listings.frame)


def _one_of(
    task: str, vocabulary: Vocabulary, encoders: Encoders, frame: pd.DataFrame
) -> Labels | None:
    ids = encoders.encode(frame)["categorical"][:, 0] - RESERVED
    if len(vocabulary.categories) < 2:
        return None
    known = ids >= 0
    target = np.maximum(ids, 0).astype(np.int32)
    return Labels(task, "one", vocabulary.categories, target, known)


def _several_of(
    task: str,
    vocabularies: Sequence[Vocabulary],
    encoders: Encoders,
    frame: pd.DataFrame,
) -> Labels | None:
    """Members of sets, and classes of categorical attributes, side by side."""
    encoded = encoders.encode(frame)
    names: list[str] = []
    targets, known = [], []
    for attribute, columns in encoders.spec().slices():
        (vocabulary,) = (v for v in vocabularies if v.attribute.name == attribute.name)
        count = len(vocabulary.categories)
        if attribute.kind == "set":
            hot = encoded["sets"][:, columns] > 0  # [N, 2 + k]
        else:
            ids = encoded["categorical"][:, columns.start]
            hot = ids[:, None] == np.arange(RESERVED + count)
        prefix = f"{attribute.name}: " if len(vocabularies) > 1 else ""
        names += [prefix + name for name in vocabulary.categories]
        targets.append(hot[:, RESERVED:])
        known.append(np.repeat(~hot[:, [MISSING]], count, axis=1))
    if not names:
        return None
    return Labels(task, "several", tuple(names), np.hstack(targets), np.hstack(known))
