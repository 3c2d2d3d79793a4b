"""Suggestions for photos that were not there in training: the Python door of pricer.

model = pricer.load("runs/bazaar")
table = model.predict("new_rows.csv", images="photos/")
"""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from common.backbone.extraction import load_photos
from common.cli import verbs
from common.data import array_batches, ingest, pipeline
from common.data.images import decode
from common.data.listings import NewRows, Record, Source, Subset
from common.parallel import processes
from common.parallel.execution import make_execution
from common.tables.schema import Schema
from common.tables.table import from_rows
from common.training import workdirs
from pricer import saved_model
from pricer.comparables import NO_GROUP
from pricer.config import Config
from pricer.data import Context, Examples
from pricer.inputs import photo_quality, trimming, words
from pricer.model import Suggestion
from pricer.saved_model import Outputs

Rows: TypeAlias = str | pathlib.Path | pd.DataFrame | Iterable[Mapping[str, Any]]

NAMED = 3  # comparables of a row

# Said where a photo is refused and nothing is wrong with it.
TOO_LITTLE = (
    "the photo shows too little of what decides the price: add one of the label or the"
    " parts that count, or describe the item"
)


class Model:
    """A trained pricer that suggests prices.

    Args:
      workdir: of a finished training run.
      config: of that run where it shall differ, say in batch size; None as trained.

    Attributes:
      config: of the run.
      trained: weights and all that was fitted.
    """

    def __init__(self, workdir: str | pathlib.Path, config: Config | None = None):
        workdir = pathlib.Path(workdir)
        self.config = config or workdirs.load_config(workdir, Config, "pricer")
        self.trained = saved_model.load(workdir, self.config)
        processes.start(self.config.parallel)
        execution = make_execution(self.config.parallel)
        self._weights = execution.replicate(self.trained.weights)
        self._predict = execution.predict_all(
            functools.partial(self.trained.predict, devices=execution.devices)
        )

    def predict(
        self,
        rows: Rows,
        images: str | pathlib.Path = "",
        *,
        allow_missing_columns: bool = False,
    ) -> pd.DataFrame:
        """Suggests prices, or says why not.

        Args:
          rows: path of a CSV or Parquet file, a DataFrame, or mappings of column to
            value. Photo, category, seller and, with `model.texts`, texts are read
            where the schema has them; no price is needed.
          images: folder or archive with the photos that the rows name.
          allow_missing_columns: whether a file may lack attributes. Mappings and frames
            may: what all of them lack is missing, with a warning.

        Returns:
          One row for each given, in order:
            id: the column that the schema names as id; else "line", of the file.
            accepted: whether the photo carries enough for a suggestion: not where
              there is none or it shows one colour only, else as the gate says.
            price: the suggestion, in the currency of the training table; empty where
              the photo is refused.
            price_low, price_high: interval that holds the level's share of the prices
              of accepted items.
            gate: probability f_cls that the gate gives.
            reason: why the photo is refused, for the seller; "" where it is accepted.
            like: id of the training item, accepted, whose photo is nearest to a refused
              one.
            comparables: ids of the three training items whose photos are most alike,
              the nearest first, where the model was trained with comparables.
            error: "" or why there is nothing; the others are empty then.

        Raises:
          UserError: files that are missing or can't be read at all.
        """
        new = self.read(rows, images, allow_missing_columns)
        with contextlib.closing(new.source):
            return self._table(new)

    def read(
        self,
        rows: Rows,
        images: str | pathlib.Path = "",
        allow_missing_columns: bool = False,
    ) -> NewRows:
        """Reads new rows, as `predict` takes them; close the source at the end."""
        table = rows if isinstance(rows, str | pathlib.Path) else from_rows(rows)
        schema = self._inputs()
        new = ingest.read_rows(
            table,
            images,
            schema,
            bad_image=self.config.data.bad_image,
            allow_missing_columns=allow_missing_columns,
        )
        ingest.say_unused_photos(new.frame, schema, self.config.photos, trained=True)
        return new

    def outputs_of(
        self,
        frame: pd.DataFrame,
        source: Source,
        rows: np.ndarray,
        context: Context | None = None,
    ) -> Outputs:
        """Runs the networks over some rows of typed cells and photos, in their order.

        Args:
          frame: typed rows.
          source: their photos.
          rows: int [n] positions in both.
          context: of these rows; None for new ones, see `context`.
        """
        known = self.context(frame.iloc[rows]) if context is None else context
        index_of = {int(row): index for index, row in enumerate(rows)}
        photos = self.config.photos

        def load(record: Record) -> dict[str, np.ndarray]:
            of_row = known.rows(index_of[record["row"]])
            return {**load_photos(photos, record), **of_row.arrays()}

        with pipeline.eval_batches(
            Subset(source, rows), load, batch_size=self.config.networks.batch_size
        ) as batches:
            outputs: Outputs = self._predict(self._weights, batches, len(rows))
        return outputs

    def outputs_of_photos(
        self, photos: np.ndarray, mask: np.ndarray, context: Context
    ) -> Outputs:
        """Runs the networks over photos that are cut already.

        Args:
          photos: uint8 [n, M, H, W, 3].
          mask: [n, M], 1 for a photo.
          context: of the n rows.
        """
        arrays = {"photos": photos, "photo_mask": mask, **context.arrays()}
        batches = array_batches.eval_batches(
            len(photos),
            lambda rows: {name: array[rows] for name, array in arrays.items()},
            batch_size=self.config.networks.batch_size,
        )
        outputs: Outputs = self._predict(self._weights, batches, len(photos))
        return outputs

    def price_of(self, log_price: float) -> float:
        """A price in the currency of the training table."""
        transform = self.config.prices.transform
        return float(trimming.from_log_prices([log_price], transform)[0])

    def _inputs(self) -> Schema:
        """The schema of what a prediction reads: photos, category, seller, texts."""
        keys = {self.config.labels.category, self.config.labels.seller}
        texts = {fitted.attribute.name for fitted in self.trained.encoders.attributes}
        schema = self.trained.schema
        attributes = tuple(a for a in schema.attributes if a.name in keys | texts)
        return dataclasses.replace(
            schema, attributes=attributes, group=None, split=None
        )

    def context(self, frame: pd.DataFrame) -> Context:
        """That of new rows: all training sales are their history and comparables."""
        groups = np.full(len(frame), NO_GROUP, np.int32)
        read = words.encode(self.trained.encoders, frame)
        if not self.config.statistics.use:
            return Context(np.zeros((len(frame), 0), np.float32), groups, read)
        columns = {a.name: a.columns[0] for a in self.trained.schema.attributes}

        def cells(name: str) -> np.ndarray | None:
            if not name:
                return None
            column = frame[columns[name]]
            return column.astype(object).where(column.notna(), None).to_numpy()

        labels = self.config.labels
        statistics = self.trained.history.features(
            cells(labels.category), cells(labels.seller), rows=len(frame)
        )
        return Context(statistics, groups, read)

    def context_of(self, examples: Examples, rows: np.ndarray) -> Context:
        """That of rows of listings, with their words as training numbered them."""
        frame = examples.listings.frame.iloc[rows]
        read = words.encode(self.trained.encoders, frame)
        return examples.context.rows(rows)._replace(words=read)

    def _table(self, new: NewRows) -> pd.DataFrame:
        frame, usable = new.frame, new.usable
        key = self.trained.schema.id or "line"
        columns: dict[str, Any] = {key: frame[key].to_numpy()}
        texts = ["reason", "like"]
        if self.trained.compared:
            texts.append("comparables")
        empty = ("accepted", "price", "price_low", "price_high", "gate")
        columns |= {name: np.full(len(frame), None) for name in empty}
        columns |= {name: np.full(len(frame), "", object) for name in texts}
        if len(usable):
            outputs = self.outputs_of(frame, new.source, usable)
            # The gate has seen no photo that shows nothing, and may think anything.
            shows = [self._shows_something(new.source[int(row)]) for row in usable]
            accepted = self.trained.calibration.threshold.accepts(
                outputs.suggestion.gate_logit
            )
            accepted &= np.array(shows, bool)
            for name, values in self._describe(outputs.suggestion, accepted).items():
                columns[name][usable] = values
            refused = usable[~accepted]
            for row in refused:
                columns["reason"][row] = self._reason(new.source[int(row)])
            nearest = self.trained.accepted.nearest(outputs.vectors[~accepted])
            columns["like"][refused] = nearest
            if self.trained.compared:
                names = self.trained.compared.names(outputs.alike[:, :NAMED])
                columns["comparables"][usable] = names
        table = pd.DataFrame({**columns, "error": frame["error"].to_numpy()})
        return table.astype({name: float for name in empty[1:]})

    def _describe(
        self, suggestion: Suggestion, accepted: np.ndarray
    ) -> dict[str, np.ndarray]:
        fitted = self.trained.calibration
        points = np.asarray(suggestion.log_price, np.float64)
        transform = self.config.prices.transform
        ends = (points, points - fitted.radius, points + fitted.radius)
        prices = [trimming.from_log_prices(end, transform) for end in ends]
        price, low, high = (np.where(accepted, value, np.nan) for value in prices)
        return {
            "accepted": accepted,
            "price": price,
            "price_low": low,
            "price_high": high,
            "gate": 1 / (1 + np.exp(-np.asarray(suggestion.gate_logit, np.float64))),
        }

    def _shows_something(self, record: Record) -> bool:
        """Whether a photo that is looked at has more than one colour."""
        limits = self.trained.quality
        return any(
            "blank"
            not in photo_quality.reason_codes(
                photo_quality.measure(decode(data)), limits
            )
            for data in record["images"][: self.config.photos.count]
        )

    def _reason(self, record: Record) -> str:
        if not record["images"]:
            return "there is no photo"
        seen = record["images"][: self.config.photos.count]
        reasons = []
        for number, data in enumerate(seen, 1):
            measured = photo_quality.measure(decode(data))
            which = f"photo {number}: " if len(seen) > 1 else ""
            found = photo_quality.reasons(measured, self.trained.quality)
            reasons += [which + reason for reason in found]
        return "; ".join(reasons) or TOO_LITTLE


def summarise(table: pd.DataFrame) -> str:
    """What is said of a table of suggestions."""
    failed = int((table["error"] != "").sum())
    accepted = int((table["accepted"] == True).sum())
    refused = len(table) - failed - accepted
    return f"{accepted:,} suggestions, {refused:,} refused, {failed:,} errors"


run = verbs.predict_rows(Model, summarise)
