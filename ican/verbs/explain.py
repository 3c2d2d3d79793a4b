"""What the network looked at, drawn for single rows (paper, Fig. 6)."""

import contextlib
import pathlib

import numpy as np
import pandas as pd

from common.cli import verbs
from common.cli.app import Command
from common.data.listings import Source
from common.errors import UserError
from common.reports import figures, result_tables
from ican import data
from ican.config import Config
from ican.figures import draw_row, name_entries
from ican.step import Outputs
from ican.verbs.predict import Model

EXPLAINED = 16  # rows of a split that are drawn; rows of --input are drawn all


def run(config: Config, command: Command) -> None:
    """Draws what the network looked at, for the rows of --input or of a split."""
    if config.model.kind != "ican":
        raise UserError(f"a model of kind {config.model.kind} has no attention to draw")
    model = Model(command.workdir, config)
    if command.input is None:
        listings = data.load_listings(config)
        whole = listings.indices(command.split)
        rows, total = whole[:EXPLAINED], len(whole)
        outputs = model.outputs_of(listings.frame, listings.source, rows)
        folder = verbs.drawing_folder(command)
        draw_rows(listings.frame, listings.source, rows, model, outputs, folder)
    else:
        predicted = model.predict_outputs(
            command.input, command.images or "", command.allow_missing_columns
        )
        frame, rows = predicted.rows.frame, predicted.rows.usable
        total = len(frame)
        with contextlib.closing(predicted.rows.source) as source:
            verbs.say_errors(frame, command)
            if predicted.outputs is None:
                raise UserError(f"{command.input}: no row that can be read")
            folder = verbs.drawing_folder(command)
            draw_rows(frame, source, rows, model, predicted.outputs, folder)
    some = f" (of {total:,})" if len(rows) < total else ""
    command.show(f"{len(rows)} rows drawn{some}: {folder}")


def draw_rows(
    frame: pd.DataFrame,
    source: Source,
    rows: np.ndarray,
    model: Model,
    outputs: Outputs,
    folder: pathlib.Path,
) -> None:
    """Writes row_<n>.png for some rows, with what is predicted for each.

    Args:
      frame: typed rows.
      source: of the photos.
      rows: int [n] of both.
      model: that looked at them.
      outputs: its scores and attention of these rows, in their order.
      folder: for the figures.
    """
    predictions = model.describe(outputs)
    for position, row in enumerate(rows):
        price, low, high = (
            result_tables.format_price(predictions[name][position])
            for name in ("price", "price_low", "price_high")
        )
        zone = predictions["zone_1"][position]
        title = f"row {row}: price {price} ({low} to {high}), zone {zone}"
        names = name_entries(model.trained.encoders, frame.iloc[int(row)])
        figure = draw_row(
            source, int(row), model.config.photos, outputs, position, names, title
        )
        figures.save(figure, folder / f"row_{row}.png")
