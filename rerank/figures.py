"""Pictures of lists: as they were shown, and as they are answered."""

from __future__ import annotations

import contextlib
import pathlib
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from common.data import image_files, images, transforms
from common.reports import figures
from rerank import data, evaluation
from rerank.config import LISTWISE
from rerank.corpus.items import Items
from rerank.evaluation import Evaluated
from rerank.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PLACES = 12  # of a list that are drawn
_PIXELS = 96  # of a photo
_HIT, _MISS = "#c1440e", "#bbbbbb"  # of the frames


def draw_lists(run: Run, evaluated: Evaluated, rows: np.ndarray) -> Figure:
    """Draws lists before and after, a box an item, with its photo where there is one.

    Args:
      run: the run.
      evaluated: answers to the test requests.
      rows: int [n] test requests.
    """
    requests, items = run.corpus.splits["test"], run.corpus.items
    shown = requests.pad(requests.items, run.length, none=-1)
    target = evaluation.labels_of(run, "test")["target"]
    chances = evaluated.calibration.chances(LISTWISE, evaluated.outputs.listwise)
    photos = read_photos(items, shown[rows], data.photo_store(run.config))
    tall = 2.6 if photos else 1.5
    figure = figures.new_figure(9.5, 0.6 + tall * len(rows))
    every = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axes, row in zip(every, rows, strict=True):
        names = items.names(shown[row])
        places = min(int(requests.lengths[row]), _PLACES)
        for height, order in (
            (1, np.arange(shown.shape[1])),
            (0, evaluated.answers[row]),
        ):
            for place, first in enumerate(order[:places]):
                photo = photos.get(int(shown[row, first]))
                words, hit = _wrap(names[first]), bool(target[row, first] > 0)
                _draw_item(axes, place, height, words, photo, chances[row, first], hit)
        axes.set_xlim(-0.6, places - 0.4)
        axes.set_ylim(-0.5, 1.5)
        axes.set_yticks([1, 0], ["shown", "answer"], fontsize=8)
        axes.set_xticks(range(places), [str(place + 1) for place in range(places)])
        axes.tick_params(labelsize=8, length=0)
        axes.spines[:].set_visible(False)
        title = str(requests.ids[row])
        if requests.queries is not None:
            title += f": {requests.queries[row]}"
        axes.set_title(figures.plain(title[:90]), loc="left", fontsize=9)
    return figure


def read_photos(
    items: Items, numbers: np.ndarray, store: pathlib.Path | None
) -> dict[int, np.ndarray]:
    """Photos of items as squares uint8 [S, S, 3], as far as they can be read.

    Args:
      items: the store.
      numbers: int [...] of items, -1 for none.
      store: folder or archive of the photos; None for none.

    Returns:
      {number: photo}.
    """
    if store is None or items.photos is None:
        return {}
    found = {}
    with contextlib.closing(image_files.open_images(store)) as opened:
        for number in np.unique(numbers[numbers >= 0]).tolist():
            # A picture is no place to complain of a photo: its box stays empty.
            with contextlib.suppress(images.ImageError):
                _, content = image_files.read_closest(opened, items.photos[number])
                photo = images.decode(content)
                found[number] = transforms.resize_whole(photo, _PIXELS, ground=255)
    return found


def _draw_item(
    axes: Any,
    place: int,
    height: int,
    words: str,
    photo: np.ndarray | None,
    chance: float,
    hit: bool,
) -> None:
    """A box as dark as the target is likely, framed where it came."""
    from matplotlib import offsetbox, patches

    box = patches.FancyBboxPatch(
        (place - 0.42, height - 0.38),
        0.84,
        0.76,
        boxstyle="round,pad=0.02",
        facecolor=(0.0, 0.4, 0.65, 0.05 + 0.6 * chance),
        edgecolor=_HIT if hit else _MISS,
        linewidth=1.8 if hit else 0.8,
    )
    axes.add_patch(box)
    below = 0.24 if photo is not None else 0.0
    weight = "bold" if hit else "normal"
    axes.text(
        place,
        height - below,
        figures.plain(words),
        ha="center",
        va="center",
        fontsize=5.5,
        fontweight=weight,
    )
    if photo is not None:
        image = offsetbox.OffsetImage(photo, zoom=0.39)
        at = (place, height + 0.14)
        axes.add_artist(offsetbox.AnnotationBbox(image, at, frameon=False, pad=0))


def _wrap(name: str) -> str:
    """The start of a name in lines that a box holds."""
    return "\n".join(textwrap.wrap(name, 15)[:3])
