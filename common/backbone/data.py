"""Photos with their classes."""

import csv
import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np

from common.backbone.config import Config
from common.data import ingest, pipeline
from common.data.configs import ListingsConfig, PhotosConfig
from common.data.crops import cut_photos
from common.data.listings import Listings, Record, Source, Subset
from common.errors import UserError
from common.tables import schema as schemas
from common.tables.encoders import RESERVED, Encoders, Vocabulary
from common.tables.schema import Attribute, Images, Schema
from common.tables.splits import SPLITS
from common.training import activity
from common.training.loop_config import LoopConfig

FOLDER_LABEL = "class"
PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif"),
    *(".jp2", ".heic", ".heif"),  # the last two are rejected by name
)


@dataclasses.dataclass(frozen=True, eq=False)
class PhotoRows:
    """Photos with what is to be learnt of each.

    Attributes:
      source: records of all N rows.
      arrays: {name: [N, ...]} what stands in a batch beside "photos".
      splits: {split: int64 [n]} rows to use.
      photos: how photos are cut.
    """

    source: Source
    arrays: Mapping[str, np.ndarray]
    splits: Mapping[str, np.ndarray]
    photos: PhotosConfig

    def train_batches(self, loop: LoopConfig, start_step: int) -> pipeline.Batches:
        """This process' rows of the endless training batches from a step on."""
        return pipeline.train_batches(
            Subset(self.source, self.splits["train"]),
            self._load,
            batch_size=loop.batch_size,
            seed=loop.seed,
            start_step=start_step,
            workers=loop.workers,
        )

    def eval_batches(self, split: str, batch_size: int) -> pipeline.Batches:
        """This process' part of a split, in order, the last batch padded."""
        return pipeline.eval_batches(
            Subset(self.source, self.splits[split]),
            self._load,
            batch_size=batch_size,
        )

    def _load(
        self, record: Record, rng: np.random.Generator | None = None
    ) -> dict[str, np.ndarray]:
        photos, _ = cut_photos(record["images"], self.photos, rng)
        row = record["row"]
        return {
            "photos": photos,
            **{name: array[row] for name, array in self.arrays.items()},
        }


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """Photos and classes.

    Attributes:
      listings: the prepared rows.
      classes: names, in the order of their numbers.
      labels: int32 [N] number of each row's class; -1 for a class left out.
      photos: how photos are cut.
    """

    listings: Listings
    classes: tuple[str, ...]
    labels: np.ndarray
    photos: PhotosConfig

    def rows(self, split: str) -> np.ndarray:
        """Positions of the rows of a split whose class is kept: int64 [n]."""
        rows = self.listings.indices(split)
        return rows[self.labels[rows] >= 0]

    def photo_rows(self) -> PhotoRows:
        """What a network is trained on: photos and "label"."""
        return PhotoRows(
            self.listings.source,
            {"label": self.labels},
            {split: self.rows(split) for split in SPLITS},
            self.photos,
        )


@activity.doing("preparing the data")
def load(config: Config, workdir: pathlib.Path) -> Examples:
    """Opens photos and classes.

    Args:
      config: of the run.
      workdir: gets the table of photos where classes are folders.

    Raises:
      UserError: whatever is wrong with the files; fewer than two classes.
    """
    if config.data.path and not config.label:
        raise UserError("--label=COLUMN must name the column that holds the class")
    listings_config, label = config.data, config.label
    if not config.data.path:
        listings_config, label = _describe_folder(config, workdir), FOLDER_LABEL
    listings = ingest.load(listings_config)
    if label not in listings.frame:
        raise UserError(
            f"--label={label}: the schema has no such attribute; it has"
            f" {', '.join(a.name for a in listings.schema.attributes)}"
        )
    attribute = Attribute(label, "categorical", (label,))
    encoders = Encoders.fit(
        listings.frame.iloc[listings.indices("train")],
        Schema((attribute,)),
        min_count=config.min_count,
    )
    ids = encoders.encode(listings.frame)["categorical"][:, 0]
    (vocabulary,) = encoders.attributes
    assert isinstance(vocabulary, Vocabulary)
    classes = vocabulary.categories
    if len(classes) < 2:
        raise UserError(
            f"--label={label}: {len(classes)} classes with {config.min_count} training"
            " photos or more; lower --min_count"
        )
    labels = np.maximum(ids - RESERVED, -1).astype(np.int32)
    if left_out := int((labels < 0).sum()):
        ingest.print_line(
            f"{left_out:,} of {len(labels):,} photos unused: no class, or one of fewer"
            f" than --min_count={config.min_count} training photos"
        )
    ingest.say_unused_photos(listings.frame, listings.schema, config.photos)
    return Examples(listings, classes, labels, config.photos)


def _describe_folder(config: Config, workdir: pathlib.Path) -> ListingsConfig:
    """Writes table and schema of photos whose class is the folder they lie in."""
    root = pathlib.Path(config.data.images)
    if not config.data.images or not root.is_dir():
        raise UserError(
            f"--data.images={config.data.images}: must be a folder that holds a folder"
            " of photos for each class; or name a table with --data.path"
        )
    photos = sorted(
        path.relative_to(root).as_posix()
        for path in root.glob("*/**/*")
        if path.suffix.lower() in PHOTO_SUFFIXES
    )
    if not photos:
        raise UserError(f"--data.images={root}: no photos in folders inside it")
    table, schema = workdir / "photos.csv", workdir / "schema.json"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["photo", FOLDER_LABEL])
        writer.writerows([photo, photo.split("/")[0]] for photo in photos)
    attribute = Attribute(FOLDER_LABEL, "categorical", (FOLDER_LABEL,))
    schemas.save(Schema((attribute,), Images(("photo",))), schema)
    return dataclasses.replace(config.data, path=str(table), schema=str(schema))
