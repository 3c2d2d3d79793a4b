"""Listings with sold prices, as the networks and the heads read them."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from common.data import array_batches, ingest
from common.data.listings import Listings
from common.data.pipeline import Batch
from common.errors import UserError
from common.reports import data_checks
from common.tables import splits
from common.tables.encoders import AttributeSpec, Encoders
from common.tables.guess_notes import explain_no_target
from common.training.loop_config import LoopConfig
from pricer import comparables
from pricer.config import Config
from pricer.features import Features
from pricer.generated import bazaar
from pricer.inputs import labels, trimming, words
from pricer.inputs.history import PriceHistory
from pricer.inputs.labels import Labels
from pricer.inputs.sales import Sales
from pricer.inputs.trimming import PriceLimits
from pricer.model import NO_TEXTS

Closing: TypeAlias = contextlib.AbstractContextManager[Iterator[Batch]]


def load_listings(config: Config) -> Listings:
    """Opens the user's listings, or draws the built-in bazaar where no path is given.

    Raises:
      UserError: whatever is wrong with the files.
    """
    if config.data.path:
        return ingest.load(config.data, texts=config.model.texts)
    return ingest.prepare_generated(
        "bazaar",
        config.data.cache,
        bazaar.schema(),
        bazaar.rows(config.bazaar),
        bazaar.fingerprint(config.bazaar),
        total=config.bazaar.total,
    )


class Context(NamedTuple):
    """What is known of n rows beside their photos.

    Attributes:
      statistics: float32 [n, S] of earlier prices, standardised; S = 0 where they are
        not used.
      groups: int32 [n], of near-copies in training, see `comparables`.
      words: [n, ...] of the texts, see `words.encode`.
    """

    statistics: np.ndarray
    groups: np.ndarray
    words: Mapping[str, np.ndarray] = {}

    def rows(self, indices: Any) -> "Context":
        """That of some of the rows; of one, without the axis of rows."""
        words = {name: array[indices] for name, array in self.words.items()}
        return Context(self.statistics[indices], self.groups[indices], words)

    def arrays(self) -> dict[str, np.ndarray]:
        """As it stands in a batch."""
        return {"statistics": self.statistics, "group": self.groups, **self.words}


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """All that training and evaluation read of N rows, but the photos' features.

    Attributes:
      listings: the prepared rows.
      prices: float64 [N], in the currency of the table.
      log_prices: float64 [N], transformed as the config says.
      limits: fitted on the training rows, beyond which a price is an outlier.
      kept: bool [N], whether a price lies within them.
      history: price statistics, fitted on the kept training rows.
      encoders: of the texts, fitted on the kept training rows.
      context: statistics, groups and words of all rows.
      labels: of the single-task networks, by task.
    """

    listings: Listings
    prices: np.ndarray
    log_prices: np.ndarray
    limits: PriceLimits
    kept: np.ndarray
    history: PriceHistory
    encoders: Encoders
    context: Context
    labels: Mapping[str, Labels]

    def rows(self, split: str, *, whole: bool = False) -> np.ndarray:
        """Positions int64 [n] of a split: without outliers, or the `whole` of it."""
        rows = self.listings.indices(split)
        return rows if whole else rows[self.kept[rows]]


def make_examples(config: Config, listings: Listings) -> Examples:
    """Fits limits, vocabularies and statistics on the training rows.

    Raises:
      UserError: a schema without photos or a price, or without the attributes that the
        config names; no training rows, or too few to compare with; no texts to read.
    """
    if listings.schema.images is None:
        raise UserError(
            f"{listings.directory}: the schema names no photos; set images.columns to"
            " the column of file names"
        )
    target = listings.schema.target
    if target is None:
        raise UserError(
            f"{listings.directory}: the schema {explain_no_target(listings.schema)}"
        )
    prices = pd.to_numeric(listings.frame[target.column]).to_numpy(np.float64)
    log_prices = trimming.to_log_prices(prices, config.prices.transform)
    train = listings.indices("train")
    limits = PriceLimits.fit(log_prices[train], config.prices.trim)
    kept = limits.keep(log_prices)
    sold = train[kept[train]]
    history, statistics = _statistics(config, listings, log_prices, sold)
    groups = _groups(config, listings)
    encoders = words.fit(listings, sold, use=config.model.texts)
    if config.comparables.count:
        comparables.check_count(config.comparables.count, groups[sold])
    return Examples(
        listings,
        prices,
        log_prices,
        limits,
        kept,
        history,
        encoders,
        Context(statistics, groups, words.encode(encoders, listings.frame)),
        labels.make_labels(listings, config.labels),
    )


def _groups(config: Config, listings: Listings) -> np.ndarray:
    """Numbers int32 [N] of the groups of training rows, where anything needs them."""
    groups = np.full(len(listings.frame), comparables.NO_GROUP, np.int32)
    if config.comparables.count:
        photos = data_checks.hash_photos(listings)
        names = splits.name_groups(listings.frame, listings.schema, photos)
        train = listings.indices("train")
        # By content, so that a table with further rows gives the others their numbers.
        groups[train] = pd.util.hash_array(names[train]) >> np.uint64(33)
    return groups


def _statistics(
    config: Config, listings: Listings, log_prices: np.ndarray, train: np.ndarray
) -> tuple[PriceHistory, np.ndarray]:
    """What was sold before each row: its own price is never in it."""
    frame = listings.frame
    categories = labels.texts(listings, config.labels.category, "category")
    sellers = labels.texts(listings, config.labels.seller, "seller")
    column = listings.schema.time
    times = None if column is None else frame[column].to_numpy(np.float64)

    def at(cells: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
        return None if cells is None else cells[rows]

    if config.statistics.bins and config.statistics.use and column is None:
        raise UserError(
            f"--statistics.bins={config.statistics.bins}: {listings.directory} has no"
            " times of sale; statistics of all other sales differ by the row's own"
            " price, and fine pieces would show it: name the time in the schema"
        )
    history, of_train = PriceHistory.fit(
        log_prices[train],
        at(categories, train),
        at(sellers, train),
        at(times, train),
        counts=config.statistics.counts,
    )
    if not config.statistics.use:
        return history, np.zeros((len(frame), 0), np.float32)
    others = np.setdiff1d(np.arange(len(frame)), train)
    sales = Sales(
        log_prices[train], at(categories, train), at(sellers, train), at(times, train)
    )
    statistics = np.empty((len(frame), of_train.shape[1]), np.float32)
    statistics[train] = of_train
    statistics[others] = history.features(
        at(categories, others),
        at(sellers, others),
        at(times, others),
        sales=sales,
        rows=len(others),
    )
    return history, statistics


@dataclasses.dataclass(frozen=True, eq=False)
class HeadRows:
    """What the heads read: features, statistics, words and prices.

    Attributes:
      features: of all N rows.
      statistics: float32 [N, S], of earlier prices and, behind them, of comparables.
      log_prices: [N].
      splits: int64 [n], kept rows of "train" and of "validation".
      words: [N, ...] of the texts, see `words.encode`.
      spec: of the texts.
    """

    features: Features
    statistics: np.ndarray
    log_prices: np.ndarray
    splits: Mapping[str, np.ndarray]
    words: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    spec: AttributeSpec = NO_TEXTS

    def gather(self, rows: np.ndarray) -> Batch:
        """The arrays of some rows."""
        return {
            "features": self.features.rows(rows),
            "statistics": self.statistics[rows],
            "log_price": self.log_prices[rows].astype(np.float32),
            **{name: array[rows] for name, array in self.words.items()},
        }

    def train_batches(self, loop: LoopConfig, start_step: int) -> Iterator[Batch]:
        """This process' part of the endless training batches from a step on."""
        rows = self.splits["train"]
        return array_batches.train_batches(
            len(rows),
            lambda indices: self.gather(rows[indices]),
            batch_size=loop.batch_size,
            seed=loop.seed,
            start_step=start_step,
            sort=True,  # is read faster
        )

    def eval_batches(self, split: str, batch_size: int) -> Closing:
        """`batches_of` the rows of a split."""
        return self.batches_of(self.splits[split], batch_size)

    def batches_of(self, rows: np.ndarray, batch_size: int) -> Closing:
        """This process' part of some rows, in order, the last batch padded."""
        batches = array_batches.eval_batches(
            len(rows),
            lambda indices: self.gather(rows[indices]),
            batch_size=batch_size,
        )
        return contextlib.closing(batches)  # type: ignore[type-var]
