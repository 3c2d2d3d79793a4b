"""The report page of a training run."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.reports import figures, page
from common.training import activity, metric_writer
from recsys import data, saved_model
from recsys.evaluation import EvaluatedLists
from recsys.run import Run

FILE = "report.html"

# Titles of the metrics of a table, in order.
TITLES = {
    "accuracy": "accuracy",
    "auc": "AUC",
    "ndcg": "NDCG",
    "f1": "F1",
    "recall": "recall",
    "mrr": "MRR",
    "coverage": "coverage",
    "gini": "Gini",
}
# Bins of users by their training interactions.
_ACTIVITY = (1, 5, 20, 100, 500)


def short_table(
    values: Mapping[str, Any], split: str, length: int
) -> list[dict[str, Any]]:
    """Metrics at one list length, beside those of the most popular items.

    Args:
      values: contents of metrics.json.
      split: prefix of the figures there.
      length: K.
    """

    def row(title: str, prefix: str) -> dict[str, Any]:
        users = values.get(f"{prefix}users")
        cells = {
            word: values.get(f"{prefix}{name}@{length}")
            for name, word in TITLES.items()
        }
        return {f"K = {length}": title, "users": int(users or 0), **cells}

    rows = [
        row("this model", f"{split}/"),
        row("this model, items seen in training", f"{split}/seen/"),
        row("this model, items never seen", f"{split}/unseen/"),
    ]
    if f"popularity/{split}/users" in values:
        rows.append(row("most popular items", f"popularity/{split}/"))
    return rows


@activity.doing("writing the report")
def write(
    run: Run,
    workdir: pathlib.Path,
    evaluated: EvaluatedLists,
    by_user: Mapping[str, np.ndarray],
    values: Mapping[str, Any],
) -> pathlib.Path:
    """Writes report.html and its figures.

    Args:
      run: the run.
      workdir: of the run.
      evaluated: lists of the test users.
      by_user: their metrics, one by one.
      values: contents of metrics.json.

    Returns:
      Path of the page.
    """
    lengths = run.config.ranking.lengths
    curves = page.save_picture(
        figures.learning_curves(_curves(workdir, lengths)),
        workdir / "figures" / "curves.png",
        "Loss in training, and the lists of validation users",
    )
    activity = page.Table(
        _by_activity(run, evaluated, by_user),
        caption=f"Lists of {max(lengths)}, by what a user has in training",
    )
    tables = [
        page.Table(short_table(values, "test", length), caption=f"Lists of {length}")
        for length in lengths
    ]
    sections = [
        page.Section("Training", [curves]),
        page.Section("Test users", [*tables, activity]),
        page.Section("Categories", [page.Table(_by_category(run, evaluated))]),
    ]
    return page.write_page(
        workdir / FILE,
        f"recsys: {run.config.model.name}",
        "; ".join(data.describe(run.config, run.corpus)) + ".",
        tables[0],
        sections,
        run.config,
    )


def _curves(workdir: pathlib.Path, lengths: Sequence[int]) -> dict[str, dict[str, Any]]:
    curves = metric_writer.read_curves(workdir, saved_model.PHASE)
    panels = {
        "loss": {"train": "train/loss"},
        "negatives below the positive": {"train": "train/ahead"},
        "NDCG, validation": {f"at {k}": f"validation/ndcg@{k}" for k in lengths},
    }
    return {
        title: {name: curves[key] for name, key in named.items() if key in curves}
        for title, named in panels.items()
    }


def _by_activity(
    run: Run, evaluated: EvaluatedLists, by_user: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Means over users with about as many training interactions."""
    length = max(run.config.ranking.lengths)
    kept = evaluated.users
    if not run.config.ranking.count_without_test:
        kept = kept[evaluated.tests.counts > 0]
    counts = run.corpus.train.counts[kept]
    group = np.digitize(counts, _ACTIVITY)
    rows = []
    for number in np.unique(group):
        members = group == number
        low, high = int(counts[members].min()), int(counts[members].max())
        means = {
            TITLES[name]: float(by_user[f"{name}@{length}"][members].mean())
            for name in ("accuracy", "auc", "ndcg", "recall", "mrr")
        }
        span = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        users = int(members.sum())
        rows.append({"training interactions": span, "users": users, **means})
    return rows


def _by_category(run: Run, evaluated: EvaluatedLists) -> list[dict[str, Any]]:
    """What is recommended and what is taken, by top category."""
    tree = run.corpus.catalogue.tree
    top = tree.ancestors[run.corpus.catalogue.leaf_of_item, 0]  # [I]
    shown = evaluated.lists[evaluated.lists >= 0]
    nodes = tree.level_sizes[0]
    names = [""] * nodes
    for leaf, path in enumerate(tree.leaves):
        names[tree.ancestors[leaf, 0]] = path[0]
    counts = {
        "of the items": np.bincount(top, minlength=nodes),
        "of the training interactions": np.bincount(
            top[run.corpus.splits["train"].items], minlength=nodes
        ),
        "of the lists": np.bincount(top[shown], minlength=nodes),
        "of the test items": np.bincount(top[evaluated.tests.items], minlength=nodes),
    }
    return [
        {
            "category": names[node],
            **{
                title: f"{by_node[node] / max(by_node.sum(), 1):.1%}"
                for title, by_node in counts.items()
            },
        }
        for node in np.argsort(-counts["of the items"], kind="stable")
    ]
