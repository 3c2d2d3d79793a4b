"""Predictions for rows that were not there in training: the Python door of ican.

model = ican.load("runs/rings")
table = model.predict("new_rows.csv", images="photos/")
"""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from common.cli import verbs
from common.data import ingest, pipeline
from common.data.listings import NewRows, Source, Subset
from common.parallel import processes
from common.parallel.execution import make_execution
from common.tables import table
from common.training import workdirs
from ican import data, saved_model
from ican.config import Config
from ican.step import Outputs

Rows: TypeAlias = str | pathlib.Path | pd.DataFrame | Iterable[Mapping[str, Any]]
BEST = 3  # zones named for each row


@dataclasses.dataclass(frozen=True, eq=False)
class Predicted:
    """New rows and what the network made of them.

    Attributes:
      rows: all of them.
      outputs: scores and attention of `rows.usable`, in that order; None if there is none.
    """

    rows: NewRows
    outputs: Outputs | None


class Model:
    """A trained model that predicts.

    Args:
      workdir: of a finished training run.
      config: of that run where it shall differ, say in batch size; None as trained.

    Attributes:
      config: of the run.
      trained: weights, schema, vocabularies, zones, calibration.
    """

    def __init__(self, workdir: str | pathlib.Path, config: Config | None = None):
        workdir = pathlib.Path(workdir)
        self.config = config or workdirs.load_config(workdir, Config, "ican")
        self.trained = saved_model.load(workdir, self.config)
        processes.start(self.config.parallel)
        execution = make_execution(self.config.parallel)
        self._learner = dataclasses.replace(
            self.trained.learner, devices=execution.devices
        )
        self._state = execution.replicate(self.trained.state)
        self._predict = execution.predict_all(self._learner.predict)

    def predict(
        self,
        rows: Rows,
        images: str | pathlib.Path = "",
        *,
        allow_missing_columns: bool = False,
    ) -> pd.DataFrame:
        """Predicts price and price zone.

        Args:
          rows: path of a CSV or Parquet file, a DataFrame, or mappings of column to
            value; no price is needed.
          images: folder or archive with the photos that the rows name.
          allow_missing_columns: whether a file may lack attributes. Mappings and frames
            may: what all of them lack is missing, with a warning.

        Returns:
          One row for each given, in order:
            id: the column that the schema names as id; else "line", of the file.
            price: median of the price's distribution, in the currency of the training
              table.
            price_low, price_high: interval that holds the level's share of prices.
            zone_1, zone_2, zone_3: likeliest price zones, best first.
            probability_1, …: their probabilities.
            zone -180, zone 180-225, …: with `predict.zones` "all" the probability of
              each zone, from the cheapest.
            error: "" or why there is no prediction; the others are empty then.

        Raises:
          UserError: files that are missing or can't be read at all.
        """
        predicted = self.predict_outputs(rows, images, allow_missing_columns)
        try:
            return self._table(predicted)
        finally:
            predicted.rows.source.close()

    def predict_outputs(
        self,
        rows: Rows,
        images: str | pathlib.Path = "",
        allow_missing_columns: bool = False,
    ) -> Predicted:
        """Reads rows and runs the network over those that can be read.

        Close `rows.source` of the result when the photos are not needed any more.
        """
        schema = self.trained.schema
        if not self.config.model.sees_photos:
            schema, images = dataclasses.replace(schema, images=None), ""
        if not isinstance(rows, str | pathlib.Path):
            rows = table.from_rows(rows)
        new = ingest.read_rows(
            rows,
            images,
            schema,
            bad_image=self.config.data.bad_image,
            allow_missing_columns=allow_missing_columns,
        )
        ingest.say_unused_photos(new.frame, schema, self.config.photos, trained=True)
        outputs = (
            self.outputs_of(new.frame, new.source, new.usable)
            if len(new.usable)
            else None
        )
        return Predicted(new, outputs)

    def outputs_of(
        self, frame: pd.DataFrame, source: Source, rows: np.ndarray
    ) -> Outputs:
        """Runs the network over some rows.

        Args:
          frame: typed rows.
          source: their photos.
          rows: int [n] positions in both.

        Returns:
          Zone scores and attention of these rows, in their order.
        """
        arrays = {}
        for name, values in self.trained.encoders.encode(frame.iloc[rows]).items():
            arrays[name] = np.zeros((len(frame), *values.shape[1:]), values.dtype)
            arrays[name][rows] = values
        sees_photos = self.config.model.sees_photos
        loader = data.Loader(
            arrays, self.config.photos if sees_photos else None, self._learner.spec
        )
        subset = Subset(source if sees_photos else data.RowSource(len(frame)), rows)
        size = self.config.train.batch_size
        with pipeline.eval_batches(subset, loader.load, batch_size=size) as batches:
            outputs: Outputs = self._predict(self._state, batches, len(rows))
        return outputs

    def _table(self, predicted: Predicted) -> pd.DataFrame:
        frame, usable = predicted.rows.frame, predicted.rows.usable
        key = self.trained.schema.id or "line"
        columns: dict[str, Any] = {key: frame[key].to_numpy()}
        if predicted.outputs is not None:
            for column, values in self.describe(predicted.outputs).items():
                whole = np.full(len(frame), None if values.dtype == object else np.nan)
                whole = whole.astype(values.dtype)
                whole[usable] = values
                columns[column] = whole
        else:
            none = np.zeros((0, self.trained.ensemble.zones.count))
            empty = self.describe(Outputs(none, none[:, 0]))
            columns |= {column: np.full(len(frame), None) for column in empty}
        return pd.DataFrame({**columns, "error": frame["error"].to_numpy()})

    def describe(self, outputs: Outputs) -> dict[str, np.ndarray]:
        """Columns of predictions of what the network says of N rows; see `predict`."""
        zones, fitted = self.trained.ensemble.zones, self.trained.calibration
        known = fitted.distribution(outputs, zones)
        low, high = known.interval(fitted.radius)
        order = np.argsort(-known.log_probabilities, axis=1, kind="stable")[:, :BEST]
        names = np.asarray(zones.names(), object)
        columns = {"price": known.price(0.5), "price_low": low, "price_high": high}
        for place in range(BEST):
            columns[f"zone_{place + 1}"] = names[order[:, place]]
        best = np.take_along_axis(known.probabilities, order, 1)  # [N, BEST]
        for place in range(BEST):
            columns[f"probability_{place + 1}"] = best[:, place]
        if self.config.predict.zones == "all":
            each = zip(zones.names(), known.probabilities.T, strict=True)
            columns |= {f"zone {name}": values for name, values in each}
        return columns


def summarise(table: pd.DataFrame) -> str:
    """What is said of a table of predictions."""
    failed = int((table["error"] != "").sum())
    return f"{len(table) - failed:,} predictions, {failed:,} errors"


run = verbs.predict_rows(Model, summarise)
