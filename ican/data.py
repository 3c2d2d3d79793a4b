"""Listings with prices, as batches for the network."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from common.data import ingest, pipeline
from common.data.configs import PhotosConfig
from common.data.crops import cut_photos
from common.data.feature_cache import FeatureCache
from common.data.halves import halve
from common.data.listings import Listings, Record, Source, Subset
from common.errors import UserError
from common.tables import schema as schemas
from common.tables.encoders import AttributeSpec, Encoders, replace_unseen
from common.tables.guess_notes import explain_no_target
from common.tables.schema import Schema
from common.training.loop_config import LoopConfig
from ican import ensemble as ensembles
from ican import zones as price_zones
from ican.config import Config
from ican.ensemble import Ensemble
from ican.generated import rings

Arrays = Mapping[str, np.ndarray]


def load_listings(config: Config) -> Listings:
    """Opens the user's listings, or draws the built-in rings where no path is given.

    Raises:
      UserError: whatever is wrong with the files; a table without prices.
    """
    listings = _open_listings(config)
    if config.model.texts:
        return listings
    schema, _ = schemas.leave_out_texts(listings.schema)
    return dataclasses.replace(listings, schema=schema)


def _open_listings(config: Config) -> Listings:
    if config.data.path:
        return ingest.load(config.data, texts=True)
    return ingest.prepare_generated(
        "rings",
        config.data.cache,
        rings.schema(titles=config.rings.titles),
        rings.rows(config.rings),
        rings.fingerprint(config.rings),
        total=config.rings.total,
    )


# What a network reads of a row, by the arrays that hold it.
INPUTS = {
    "photo": ("photo_mask",),
    "words": ("word_ids", "word_weights"),
    "attributes": ("categorical", "continuous", "missing", "sets"),
}


class OtherPhotos:
    """Rows with the photos, or the feature maps, of other rows.

    Args:
      source: of records, or a feature cache.
      order: int [N] the row whose photos each row gets.
    """

    def __init__(self, source: Any, order: np.ndarray):
        self._source = source
        self._order = order

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Record:
        other = self._source[int(self._order[index])]
        return {"row": self._source[index]["row"], "images": other["images"]}

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Feature maps [n, P, C]."""
        return self._source.rows(self._order[indices])


class RowSource:
    """Rows without their photos: for networks that see attributes or cached features.

    Args:
      count: number of rows.
    """

    def __init__(self, count: int):
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Record:
        return {"row": index, "images": []}


@dataclasses.dataclass(frozen=True, eq=False)
class Loader:
    """Turns the record of one row into the arrays of one item.

    Attributes:
      arrays: {name: [N, ...]} of every row: encoded attributes, prices, labels.
      photos: how photos are cut; None where the network sees none.
      spec: the attributes.
      unseen_rate: share of categories replaced by the unseen row in training.
      features: feature maps [N, P, C] that stand in for the photos.
    """

    arrays: Arrays
    photos: PhotosConfig | None
    spec: AttributeSpec
    unseen_rate: float = 0.0
    features: FeatureCache | OtherPhotos | None = None

    def load(self, record: Record) -> dict[str, np.ndarray]:
        """The arrays of a row, with centre crops."""
        return self._load(record, None)

    def load_augmented(
        self, record: Record, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """The arrays of a row for training: crop, mirror and unseen rows drawn."""
        item = self._load(record, rng)
        return replace_unseen(item, rng, self.unseen_rate, self.spec)

    def _load(
        self, record: Record, rng: np.random.Generator | None
    ) -> dict[str, np.ndarray]:
        row = record["row"]
        item = {name: array[row] for name, array in self.arrays.items()}
        if self.features is not None:
            item["features"] = self.features.rows(np.array([row]))[0]
        elif self.photos is not None:
            item["photos"], item["photo_mask"] = cut_photos(
                record["images"], self.photos, rng
            )
        return item


def photo_masks(source: Source, count: int) -> np.ndarray:
    """Which of the first `count` photos each row has: float32 [N, M]."""
    have = np.array([len(source[row]["images"]) for row in range(len(source))])
    return (np.arange(count)[None] < have[:, None]).astype(np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """All that training and evaluation read.

    Attributes:
      listings: the prepared rows.
      encoders: fitted on the training rows.
      ensemble: coarse classifiers over the zones fitted on the training prices.
      prices: float64 [N], in the currency of the table.
      loader: rows to arrays.
      source: records of all rows.
      halves: positions among the validation rows, see `common.data.halves`: those that
        choose the weights, and those that the interval is fitted on.
    """

    listings: Listings
    encoders: Encoders
    ensemble: Ensemble
    prices: np.ndarray
    loader: Loader
    source: Source
    halves: tuple[np.ndarray, np.ndarray]

    def with_features(self, features: FeatureCache, count: int) -> "Examples":
        """The same rows with feature maps in place of photos.

        Args:
          features: [N, P, C] of all rows.
          count: photos of a row that were pooled.
        """
        masks = photo_masks(self.listings.source, count)
        arrays = {**self.loader.arrays, "photo_mask": masks}
        loader = dataclasses.replace(self.loader, arrays=arrays, features=features)
        return dataclasses.replace(
            self, loader=loader, source=RowSource(len(self.prices))
        )

    def train_batches(self, loop: LoopConfig, start_step: int) -> pipeline.Batches:
        """This process' rows of the endless training batches from a step on."""
        return pipeline.train_batches(
            Subset(self.source, self.listings.indices("train")),
            self.loader.load_augmented,
            batch_size=loop.batch_size,
            seed=loop.seed,
            start_step=start_step,
            workers=loop.workers,
        )

    def eval_batches(self, split: str, batch_size: int) -> pipeline.Batches:
        """This process' part of a split, in order, the last batch padded."""
        return self.batches_of(self.listings.indices(split), batch_size)

    def batches_of(self, rows: np.ndarray, batch_size: int) -> pipeline.Batches:
        """This process' part of some rows, in order, the last batch padded."""
        chosen = Subset(self.source, rows)
        return pipeline.eval_batches(chosen, self.loader.load, batch_size=batch_size)

    def choosing_batches(self, batch_size: int) -> pipeline.Batches:
        """The validation rows that choose the weights, as `eval_batches`."""
        rows = self.listings.indices("validation")[self.halves[0]]
        return self.batches_of(rows, batch_size)

    def inputs(self) -> list[str]:
        """Which of `INPUTS` there are."""
        arrays = self.loader.arrays
        columns = {
            name: sum(arrays[key].shape[1] for key in keys if key in arrays)
            for name, keys in INPUTS.items()
        }
        columns["photo"] = self.loader.photos is not None
        return [name for name, count in columns.items() if count]

    def shuffled(
        self, name: str, rows: np.ndarray, rng: np.random.Generator
    ) -> "Examples":
        """The same, with one input of each row taken from another one.

        Args:
          name: of the input, see `INPUTS`.
          rows: int [n] that exchange it.
          rng: draws with which row each of them does.
        """
        order = np.arange(len(self.prices))
        drawn = rng.permutation(rows)
        order[drawn] = np.roll(drawn, 1)  # no row keeps its own
        arrays = dict(self.loader.arrays)
        for key in INPUTS[name]:
            if key in arrays:
                arrays[key] = arrays[key][order]
        loader, source = dataclasses.replace(self.loader, arrays=arrays), self.source
        if name == "photo" and loader.features is not None:
            features = OtherPhotos(loader.features, order)
            loader = dataclasses.replace(loader, features=features)
        elif name == "photo":
            source = OtherPhotos(source, order)
        return dataclasses.replace(self, loader=loader, source=source)


def make_examples(config: Config, listings: Listings) -> Examples:
    """Fits encoders, zones and classifiers on the training rows, encodes all rows.

    Raises:
      UserError: a schema without a price; zones that can't be had.
    """
    frame, schema = listings.frame, listings.schema
    train = listings.indices("train")
    encoders = Encoders.fit(
        frame.iloc[train], schema, min_count=config.attributes.min_count
    )
    prices = prices_of(listings)
    zones = price_zones.fit(config.zones, prices[train])
    ensemble = ensembles.build(config.ensemble, zones, prices[train])
    loader = Loader(
        {**encoders.encode(frame), **targets(ensemble, prices)},
        config.photos if config.model.sees_photos else None,
        encoders.spec(),
        config.attributes.unseen_rate,
    )
    source = listings.source if config.model.sees_photos else RowSource(len(frame))
    return Examples(
        listings, encoders, ensemble, prices, loader, source, halve(listings)
    )


def prices_of(listings: Listings) -> np.ndarray:
    """Prices float64 [N] of all rows.

    Raises:
      UserError: where the schema names no target.
    """
    target = listings.schema.target
    if target is None:
        raise UserError(
            f"{listings.directory}: the schema {explain_no_target(listings.schema)}"
        )
    return pd.to_numeric(listings.frame[target.column]).to_numpy(np.float64)


def price_unit(schema: Schema) -> str:
    """What axes say of prices: the currency, or "price" where it is not known."""
    return (
        schema.target.currency if schema.target and schema.target.currency else "price"
    )


def targets(ensemble: Ensemble, prices: np.ndarray) -> dict[str, np.ndarray]:
    """What a batch says of prices [N]: price, zone label and coarse classes."""
    return {
        "price": prices.astype(np.float32),
        "label": ensemble.zones.label(prices).astype(np.int32),
        "targets": ensemble.targets(prices),
    }
