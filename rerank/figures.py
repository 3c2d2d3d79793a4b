"""Pictures of lists: as they were shown, and as they are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from common.reports import figures
from rerank import evaluation
from rerank.config import LISTWISE
from rerank.evaluation import Evaluated
from rerank.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PLACES = 12  # of a list that are drawn


def draw_lists(run: Run, evaluated: Evaluated, rows: np.ndarray) -> Figure:
    """Draws lists before and after, a box an item.

    Args:
      run: the run.
      evaluated: answers to the test requests.
      rows: int [n] test requests.
    """
    requests = run.corpus.splits["test"]
    shown = requests.pad(requests.items, run.length, none=-1)
    target = evaluation.labels_of(run, "test")["target"]
    chances = evaluated.calibration.chances(LISTWISE, evaluated.outputs.listwise)
    answers = evaluated.answers
    figure = figures.new_figure(9.5, 0.6 + 1.5 * len(rows))
    every = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axes, row in zip(every, rows, strict=True):
        names = run.corpus.items.names(shown[row])
        places = min(int(requests.lengths[row]), _PLACES)
        for height, order in ((1, np.arange(shown.shape[1])), (0, answers[row])):
            for place, first in enumerate(order[:places]):
                chance = chances[row, first]
                axes.text(
                    place,
                    height,
                    figures.plain(_wrap(names[first])),
                    ha="center",
                    va="center",
                    fontsize=6,
                    fontweight="bold" if target[row, first] > 0 else "normal",
                    bbox={
                        "boxstyle": "round,pad=0.4",
                        "facecolor": (0.0, 0.4, 0.65, 0.05 + 0.6 * chance),
                        "edgecolor": "#c1440e" if target[row, first] > 0 else "#bbbbbb",
                        "linewidth": 1.8 if target[row, first] > 0 else 0.8,
                    },
                )
        axes.set_xlim(-0.6, places - 0.4)
        axes.set_ylim(-0.6, 1.6)
        axes.set_yticks([1, 0], ["shown", "answer"], fontsize=8)
        axes.set_xticks(range(places), [str(place + 1) for place in range(places)])
        axes.tick_params(labelsize=8, length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        title = str(requests.ids[row])
        if requests.queries is not None:
            title += f": {requests.queries[row]}"
        axes.set_title(figures.plain(title[:90]), loc="left", fontsize=9)
    return figure


def _wrap(name: str) -> str:
    """The start of a name in lines that a box holds."""
    return "\n".join(name[start : start + 14] for start in range(0, 42, 14)).strip()
