"""Which part of a photo drove the price and the gate, by covering it up.

A square of the photo is covered with the photo's mean colour, one place after another;
what then changes is what that place has told (Zeiler and Fergus, Visualizing and
Understanding Convolutional Networks, section 4.2). It needs no look inside the networks
and is as fine as one likes, at the cost of one run for each place.
"""

import contextlib
import pathlib
from typing import NamedTuple

import numpy as np

from common.cli import verbs
from common.cli.app import Command
from common.data.crops import cut_photos
from common.data.listings import Source
from common.errors import UserError
from common.reports import figures, photo_figures
from common.reports.result_tables import format_price
from pricer import data
from pricer.config import Config
from pricer.data import Context
from pricer.verbs.predict import Model

EXPLAINED = 16  # rows of a split that are drawn; rows of --input are drawn all
PLACES = 8  # along each side
WIDTH = 2  # side of the covered square, in places


def run(config: Config, command: Command) -> None:
    """Draws what drove price and gate, for the rows of --input or of a split."""
    model = Model(command.workdir, config)
    if command.input is None:
        listings = data.load_listings(config)
        whole = listings.indices(command.split)
        rows, total = whole[:EXPLAINED], len(whole)
        context = model.context_of(data.make_examples(config, listings), rows)
        folder = verbs.drawing_folder(command)
        draw_rows(listings.source, rows, model, context, folder)
    else:
        new = model.read(
            command.input, command.images or "", command.allow_missing_columns
        )
        with contextlib.closing(new.source):
            verbs.say_errors(new.frame, command)
            rows, total = new.usable, len(new.frame)
            if not len(rows):
                raise UserError(f"{command.input}: no row that can be read")
            context = model.context(new.frame.iloc[rows])
            folder = verbs.drawing_folder(command)
            draw_rows(new.source, rows, model, context, folder)
    some = f" (of {total:,})" if len(rows) < total else ""
    command.show(f"{len(rows)} rows drawn{some}: {folder}")


class Maps(NamedTuple):
    """What each place of a photo told.

    Attributes:
      price: [h, w] log price as it is, minus the log price with the place covered.
      gate: [h, w] the same of the gate's logit.
    """

    price: np.ndarray
    gate: np.ndarray


def cover(photo: np.ndarray, places: int = PLACES, width: int = WIDTH) -> np.ndarray:
    """Copies of a photo with one square covered each: uint8 [places ** 2, H, W, 3].

    Args:
      photo: uint8 [H, W, 3].
      places: squares along each side; their middles are evenly spread.
      width: side of a square, in distances between middles.
    """
    height, breadth = photo.shape[:2]
    colour = photo.reshape(-1, 3).mean(0).round().astype(np.uint8)
    copies = np.repeat(photo[None], places**2, axis=0)
    for number in range(places**2):
        row, column = divmod(number, places)
        top, bottom = _ends(row, places, width, height)
        left, right = _ends(column, places, width, breadth)
        copies[number, top:bottom, left:right] = colour
    return copies


def _ends(index: int, places: int, width: int, length: int) -> tuple[int, int]:
    middle, half = (index + 0.5) / places, width / 2 / places
    return (
        max(round((middle - half) * length), 0),
        min(round((middle + half) * length), length),
    )


def draw_rows(
    source: Source,
    rows: np.ndarray,
    model: Model,
    context: Context,
    folder: pathlib.Path,
) -> None:
    """Writes row_<n>.png for some rows: photos, what told the price, what the gate.

    Args:
      source: of the photos.
      rows: int [n] of the source.
      model: that prices them.
      context: of these rows.
      folder: for the figures.
    """
    for index, row in enumerate(rows):
        images = source[int(row)]["images"]
        photos, mask = cut_photos(images, model.config.photos, None)
        seen = max(int(mask.sum()), 1)  # a row without a photo shows a blank one
        covered = [
            cover_each_place(model, photos, mask, context.rows([index]), number)
            for number in range(seen)
        ]
        log_price, logit, _ = covered[0]
        accepted = model.trained.calibration.threshold.accepts(np.array([logit]))[0]
        figure = photo_figures.overlays(
            list(photos[:seen]),
            [
                {"raises or lowers the price": maps.price, "told the gate": maps.gate}
                for _, _, maps in covered
            ],
            title=f"row {row}: {format_price(model.price_of(log_price))}, "
            + ("accepted" if accepted else "refused"),
        )
        figures.save(figure, folder / f"row_{row}.png")


def cover_each_place(
    model: Model,
    photos: np.ndarray,
    mask: np.ndarray,
    context: Context,
    number: int = 0,
) -> tuple[float, float, Maps]:
    """What one photo of a row tells, place by place.

    Args:
      model: that prices it.
      photos: uint8 [M, H, W, 3].
      mask: [M].
      context: of the row, n = 1.
      number: of the photo; the others stay as they are.

    Returns:
      (log price, gate logit, maps).
    """
    covered = np.repeat(photos[None], PLACES**2 + 1, axis=0)  # [1 + h*w, M, H, W, 3]
    covered[1:, number] = cover(photos[number])
    count = len(covered)
    outputs = model.outputs_of_photos(
        covered,
        np.repeat(mask[None], count, axis=0),
        context.rows(np.zeros(count, int)),
    )
    log_price, logit = outputs.suggestion
    maps = Maps(*((x[0] - x[1:]).reshape(PLACES, PLACES) for x in (log_price, logit)))
    return float(log_price[0]), float(logit[0]), maps
