"""The report page of a training run."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.reports import figures, page
from common.training import activity, metric_writer, workdirs
from recsys import data, metrics, saved_model
from recsys.config import Config
from recsys.evaluation import EvaluatedLists
from recsys.run import Run

FILE = "report.html"

# Titles of the metrics of a table, in order; the hit rate is the paper's accuracy.
TITLES = {
    "ndcg": "NDCG",
    "accuracy": "HR (accuracy)",
    "recall": "recall",
    "mrr": "MRR",
    "map": "MAP",
    "auc": "AUC",
    "f1": "F1",
    "coverage": "coverage",
    "gini": "Gini",
}
DIGITS = 4  # of metrics; lists of unique items hit little
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


def describe_ties(values: Mapping[str, Any], split: str, length: int) -> str:
    """How many neighbours in the model's lists have equal scores, in a sentence.

    Args:
      values: contents of metrics.json.
      split: prefix of the figures there.
      length: K.

    Returns:
      The sentence; "" where the lists came without scores.
    """
    share = values.get(f"{split}/ties@{length}")
    if share is None:
        return ""
    return (
        f"{share:.1%} of the neighbours in this model's lists of {length} have equal"
        " scores; of those the item that stands first in the table of items is first."
    )


def compare_with_popular(
    config: Config, values: Mapping[str, Any], last_was_best: bool
) -> str:
    """What to say of lists that are below those of the most popular items.

    Held against each other on validation, by `train.best_metric` where that says how
    good lists are, else by NDCG at the middle length.

    Args:
      config: of the run.
      values: contents of metrics.json.
      last_was_best: whether the last evaluation on validation was the best one.

    Returns:
      Both figures and what to try, in one line; "" where the model is not below.
    """
    metric = config.train.best_metric
    if metric.rpartition("@")[0].rpartition("/")[2] not in metrics.QUALITY:
        metric = f"ndcg@{middle_length(config)}"
    ours = values.get(f"validation/{metric}")
    theirs = values.get(f"popularity/validation/{metric}")
    if ours is None or theirs is None or not ours < theirs:
        return ""
    return (
        f"below the most popular items: {metric} on validation is {ours:.4f}, theirs"
        f" {theirs:.4f}. Try {'; '.join(_propose(config, last_was_best))}."
    )


def _propose(config: Config, last_was_best: bool) -> list[str]:
    """Flags that may bring a model above the most popular items."""
    model, optimizer = config.model, config.optimizer
    tries = []
    if model.name != "vbpr":
        tries.append("--model.name=vbpr, for goods that are taken again and again")
    if model.is_rival:
        section = model.name.replace("-", "_")
        return [*tries, f"other settings --{section}.… (see --help)"]
    if config.negatives.kind == "hierarchical":
        tries.append("--negatives.kind=uniform")
    if last_was_best:
        steps = config.train.steps
        tries.append(f"more --train.steps than {steps}: the last evaluation was best")
    elif optimizer.name == "adamw":
        decay = optimizer.weight_decay
        tries.append(f"an --optimizer.weight_decay above {decay:g}")
    else:
        tries.append("--optimizer.name=adamw with a weight decay")
    return tries


def find_warning(
    config: Config, workdir: pathlib.Path, values: Mapping[str, Any] | None = None
) -> str:
    """`compare_with_popular` of the run in a workdir.

    Args:
      config: of the run.
      workdir: with its curves.
      values: contents of metrics.json; None reads them, "" where they are not there.
    """
    if values is None:
        if not (workdir / workdirs.METRICS).exists():
            return ""
        values = workdirs.read_metrics(workdir)
    name = f"validation/{config.train.best_metric}"
    _, curve = metric_writer.read_curves(workdir, saved_model.PHASE).get(name, ([], []))
    best = max if config.train.best_mode == "max" else min
    return compare_with_popular(
        config, values, bool(curve) and curve[-1] == best(curve)
    )


def middle_length(config: Config) -> int:
    """The list length of the short table."""
    return config.ranking.lengths[len(config.ranking.lengths) // 2]


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
    by_activity = page.Table(
        _by_activity(run, evaluated, by_user),
        caption=f"Lists of {max(lengths)}, by what a user has in training",
        digits=DIGITS,
    )
    tables = {
        length: page.Table(
            short_table(values, "test", length),
            caption=f"Lists of {length}",
            digits=DIGITS,
        )
        for length in lengths
    }
    summary = tables.pop(middle_length(run.config))  # shown once, at the top
    sentence = describe_ties(values, "test", max(lengths))
    ties = [page.Text(sentence)] if sentence else []
    sections = [
        *_training(run, workdir),
        page.Section("Test users", [*tables.values(), *ties, by_activity]),
        page.Section("Categories", [page.Table(_by_category(run, evaluated))]),
    ]
    return page.write_page(
        workdir / FILE,
        f"recsys: {run.config.model.name}",
        "; ".join(data.describe(run.config, run.corpus)) + ".",
        summary,
        sections,
        run.config,
        find_warning(run.config, workdir, values),
    )


def _training(run: Run, workdir: pathlib.Path) -> list[page.Section]:
    """Curves of the training, which a rival has none of."""
    if run.config.model.is_rival:
        return []
    curves = page.save_picture(
        figures.learning_curves(_curves(workdir, run.config.ranking.lengths)),
        workdir / "figures" / "curves.png",
        "Loss in training, and the lists of validation users",
    )
    return [page.Section("Training", [curves])]


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
            for name in ("ndcg", "accuracy", "recall", "mrr", "map", "auc")
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
