"""What the network looked at, drawn for single rows (paper, Fig. 6)."""

import pathlib
from typing import TYPE_CHECKING

import numpy as np

from common.data.listings import Source
from common.reports import figures
from ican.figures import draw_row
from ican.step import Outputs

if TYPE_CHECKING:
    from ican.verbs.predict import Model


def draw_rows(
    source: Source,
    rows: np.ndarray,
    model: "Model",
    outputs: Outputs,
    folder: pathlib.Path,
) -> None:
    """Writes row_<n>.png for some rows, with what is predicted for each.

    Args:
      source: of the photos.
      rows: int [n] of the source.
      model: that looked at them.
      outputs: its scores and attention of these rows, in their order.
      folder: for the figures.
    """
    predictions = model.describe(outputs.scores)
    for position, row in enumerate(rows):
        title = (
            f"row {row}: price {predictions['price'][position]:,.0f}"
            f" ({predictions['price_low'][position]:,.0f} to {predictions['price_high'][position]:,.0f}),"
            f" zone {predictions['zone_1'][position]}"
        )
        figure = draw_row(
            source, int(row), model.config.photos, outputs, position, model.names, title
        )
        figures.save(figure, folder / f"row_{row}.png")
