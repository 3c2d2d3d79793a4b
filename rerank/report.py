"""The report page of a training run."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.reports import figures, page
from common.training import activity, metric_writer
from rerank import data
from rerank.config import LISTWISE
from rerank.corpus.items import NONE, take
from rerank.evaluation import NETWORKS, Evaluated
from rerank.figures import draw_lists
from rerank.run import Run

FILE = "report.html"
TITLES = {"logged": "as shown", "sort": "sorted, pointwise", "search": "searched"}
_ORDER_METRICS = {
    "ndcg@3": "NDCG@3",
    "ndcg@10": "NDCG@10",
    "map@10": "MAP@10",
    "mrr": "MRR",
    "click@3": "clicks@3",
    "revenue@3": "revenue@3",
    "value": "expected",
    "utility": "true utility",
    "snips": "SNIPS, a place",
}
_NETWORK_METRICS = {"auc": "AUC", "gauc": "GAUC", "log_loss": "log-loss", "ece": "ECE"}
_CURVES = {
    "loss, training": "train/loss",
    "log-loss, validation": "validation/log_loss",
}
_DRAWN = 3  # lists before and after


def short_table(values: Mapping[str, Any], split: str) -> list[dict[str, Any]]:
    """The orders of a split by what made them, the answer marked, of metrics.json."""
    answer = "search" if values["searches"] else "sort"
    return [
        {
            "order": title + " (the answer)" * (policy == answer),
            **{
                word: value
                for name, word in _ORDER_METRICS.items()
                if (value := values.get(f"{split}/{policy}/{name}")) is not None
            },
        }
        for policy, title in TITLES.items()
    ]


def network_table(values: Mapping[str, Any], split: str) -> list[dict[str, Any]]:
    """Both networks on the shown orders of a split."""
    return [
        {
            "network": phase,
            **{
                word: values[f"{split}/{phase}/{name}"]
                for name, word in _NETWORK_METRICS.items()
            },
        }
        for phase in NETWORKS
    ]


@activity.doing("writing the report")
def write(run: Run, workdir: pathlib.Path, evaluated: Evaluated) -> pathlib.Path:
    """Writes report.html and its figures; returns the path of the page."""
    values, folder = evaluated.values, workdir / "figures"
    orders = page.Table(short_table(values, "test"), caption=_NOTE)
    curves = page.save_picture(
        figures.learning_curves(_curves(workdir)),
        folder / "curves.png",
        "Loss in training, log-loss on validation",
    )
    lists = page.save_picture(
        draw_lists(run, evaluated, _telling_lists(evaluated)),
        folder / "lists.png",
        "Lists of test as they were shown and as they are answered: filled where the"
        " target came, as dark as it is likely",
    )
    sections = [
        page.Section("The guard", [page.Text(f"{evaluated.verdict}.")]),
        page.Section("Networks", [page.Table(network_table(values, "test"), digits=4)]),
        page.Section("Before and after", [lists]),
        page.Section("Training", [curves]),
        page.Section(
            "What counts",
            [
                page.Table(_weights(run, evaluated), caption=_WEIGHTS),
                page.Table(_lost(values), caption=_LOST),
            ],
        ),
        *_exposure(run, evaluated),
    ]
    return page.write_page(
        workdir / FILE,
        f"rerank: {run.config.model.name}",
        "; ".join(data.describe(run.config, run.corpus)) + ".",
        orders,
        sections,
        run.config,
    )


_NOTE = (
    "Test requests. Labels belong to the places at which items were shown, so a new order"
    " is judged by labels of the old one; expected is the evaluator's own opinion of the"
    " order"
)

_WEIGHTS = "Mean weights of modalities over the candidates of test"
_LOST = (
    "GAUC of the list-wise evaluator that is lost on test where a modality or the history"
    " is hidden, or the values of the rest are exchanged between requests or items"
)


def _telling_lists(evaluated: Evaluated) -> np.ndarray:
    """Requests with a positive whose answer differs most in value from what was shown."""
    values = evaluated.outputs.values
    gain = values[:, 2 if evaluated.searches else 1] - values[:, 0]
    positive = np.nan_to_num(evaluated.columns["logged/mrr"].values) > 0
    return np.argsort(-np.where(positive, gain, -np.inf), kind="stable")[:_DRAWN]


def _curves(workdir: pathlib.Path) -> dict[str, dict[str, Any]]:
    panels: dict[str, dict[str, Any]] = {}
    for phase in NETWORKS:
        curves = metric_writer.read_curves(workdir, phase)
        for title, name in _CURVES.items():
            if name in curves:
                panels.setdefault(title, {})[phase] = curves[name]
    return panels


def _weights(run: Run, evaluated: Evaluated) -> list[dict[str, Any]]:
    """Mean weights of modalities over the candidates of test."""
    weights = evaluated.outputs.weights
    names = [m.name for m in run.learners[LISTWISE].network.modalities]
    if weights is None or not names:
        return [{"modality": "none", "item": "–", "history": "–"}]
    requests = run.corpus.splits["test"]
    there = np.arange(run.length) < requests.lengths[:, None]
    of_items, of_history = weights[there].mean(0)  # [M] each
    return [
        {"modality": name, "item": of_items[m], "history": of_history[m]}
        for m, name in enumerate(names)
    ]


def _lost(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Parts of the input by what they are worth, see `rerank.importance`."""
    start = "test/lost/"
    lost = {name.removeprefix(start): values[name] for name in values if start in name}
    order = sorted(lost, key=lambda part: -np.nan_to_num(lost[part]))
    return [{"without": part, "GAUC lost": lost[part]} for part in order]


def _exposure(run: Run, evaluated: Evaluated) -> Sequence[page.Section]:
    """Share of the exposure, 1 / log2(1 + place), that each label gets."""
    requests = run.corpus.splits["test"]
    shown = requests.pad(requests.items, run.length, NONE)
    answer = evaluated.answers
    discounts = np.broadcast_to(1 / np.log2(2 + np.arange(shown.shape[1])), shown.shape)
    sections = []
    orders = {"as shown": shown, "answer": np.take_along_axis(shown, answer, 1)}
    for label, (codes, names) in run.corpus.items.labels.items():
        rows: dict[str, np.ndarray] = {}
        for title, items in orders.items():
            labels = take(codes, items, NONE)
            known = labels >= 0
            total = np.bincount(labels[known], discounts[known], len(names))
            rows[title] = total / max(total.sum(), 1e-12)
        most = np.argsort(-rows["as shown"], kind="stable")[:10]
        table = [
            {label: names[code], **{title: rows[title][code] for title in rows}}
            for code in most
        ]
        caption = "Share of the exposure, 1 / log2(1 + place), of the ten most shown"
        sections.append(
            page.Section(f"Exposure by {label}", [page.Table(table, caption=caption)])
        )
    return sections
