"""`--mode=explain`: which modality counted for which candidate, and which past items."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

import numpy as np

from common.cli import verbs
from common.cli.app import Command
from common.errors import UserError
from common.reports import figures
from rerank import data
from rerank.config import Config
from rerank.corpus.requests import Requests
from rerank.ordering.ranker import Outputs
from rerank.verbs.predict import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWN = 8  # requests
_COLOURS = ("#0067a3", "#c1440e")  # of text and image


def run(config: Config, command: Command) -> None:
    """Draws the requests of --input, or the first ones of a --split."""
    model = Model(command.workdir, config)
    if not model.modalities:
        raise UserError("the model uses no modality: there are no weights to draw")
    if command.input is not None:
        requests, rejected = data.read_unlabelled(config, model.corpus, command.input)
        for fault in rejected:
            command.say(f"line {fault.line}: {fault.reason}")
    else:
        requests = data.load(config, command.say).splits[command.split]
    requests = requests.select(np.arange(min(DRAWN, len(requests))))
    folder = verbs.drawing_folder(command)
    write(model, requests, folder)
    command.show(f"{len(requests)} requests drawn: {folder}")


def write(model: Model, requests: Requests, folder: pathlib.Path) -> None:
    """Draws requests, a file each; the folder is made where absent."""
    outputs = model.answer(requests)
    if outputs.weights is None:
        raise UserError(
            f"--model.name={model.config.model.name} weighs no modalities: explain armmt"
        )
    for row in range(len(requests)):
        figure = draw(model, requests, outputs, row)
        figures.save(figure, folder / f"request_{row + 1}.png")


def draw(model: Model, requests: Requests, outputs: Outputs, row: int) -> Figure:
    """Weights of modalities and of past items by candidate, of one of the requests."""
    order, _, _, chosen = model.choose(requests, outputs, row)
    count, items = len(order), model.corpus.items
    names = items.names(requests.items[requests.starts[row] + order])
    past = requests.history[slice(*requests.history_starts[row : row + 2])]
    seen = outputs.history
    with_history = seen is not None and len(past) > 0
    figure = figures.new_figure(9.5 if with_history else 5, 0.9 + 0.28 * count)
    columns = figure.subplots(1, 1 + with_history, squeeze=False)[0]
    axes, left = columns[0], np.zeros(count)
    for m, name in enumerate(model.modalities):
        share = outputs.weights[row, order, 0, m]
        axes.barh(range(count), share, left=left, color=_COLOURS[m], label=name)
        left = left + share
    axes.set_yticks(range(count), _labels(names), fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.legend(fontsize=7, loc="lower right")
    axes.set_title(f"weights of modalities ({chosen})", fontsize=9, loc="left")
    if with_history:
        shares = seen[row, order, : len(past)].mean(-1)  # [L, H]
        columns[1].imshow(shares, vmin=0, vmax=1, cmap="Blues", aspect="auto")
        ticks = range(len(past)), _labels(items.names(past))
        columns[1].set_xticks(*ticks, rotation=60, ha="right", fontsize=7)
        columns[1].set_yticks([])
        columns[1].set_title("past items attended to", fontsize=9, loc="left")
    title = str(requests.ids[row])
    if requests.queries is not None and requests.queries[row]:
        title = str(requests.queries[row])
    figure.suptitle(figures.plain(title[:90]), fontsize=10, x=0.01, ha="left")
    return figure


def _labels(names: list[str]) -> list[str]:
    return [figures.plain(name[:32]) for name in names]
