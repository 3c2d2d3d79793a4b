"""`--mode=check`: what to know of the data and the model before training."""

import contextlib
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from common.cli import verbs
from common.config import configs
from common.parallel import processes
from common.reports import data_checks, figures, page, proposals, result_tables
from common.reports.data_checks import Cost
from common.reports.page import Picture, Section
from common.reports.proposals import Changes, Pace
from common.tables.splits import SPLITS
from common.training import workdirs
from common.training.workdirs import Say
from recsys import data, evaluation, train
from recsys.config import Config
from recsys.corpus.corpus import Catalogue, Corpus
from recsys.corpus.interactions import Interactions
from recsys.run import Run, prepare

FILE = "check.html"
MIB = 2**20
_JUDGED = 256  # users whose lists are timed
_BLOCK = 4096  # items whose features are in memory at a time


def write(config: Config, workdir: pathlib.Path, say: Say) -> tuple[pathlib.Path, str]:
    """Opens the data, runs a few steps, writes check.html.

    Args:
      config: of the run to come.
      workdir: gets the page, and rejected.csv.
      say: prints a line of progress.

    Returns:
      (path of the page, the summary as Markdown).

    Raises:
      UserError: whatever the user can mend.
    """
    processes.start(config.parallel)
    workdirs.make_folder(workdir)
    rejected_file = workdir / train.REJECTED
    corpus = data.load(config, say, rejected_file)
    run = prepare(config, corpus)
    facts = {
        **count_rows(corpus),
        **count_interactions(corpus),
        **count_shared(corpus),
    }
    notes: list[str] = []
    if not config.model.is_rival:  # which has no steps
        say("measuring a few steps")
        cost = measure_steps(run)
        facts |= measure(run, cost)
        notes = proposals.propose(
            config,
            config.check.minutes,
            measure_pace(run, cost),
            smaller(config),
            lambda changed: measure_changed(changed, corpus, say),
        ).lines()
    summary = [{"": name, "found": value} for name, value in facts.items()]
    count = corpus.rejected + corpus.rejected_items
    rejected = data_checks.count_reasons(rejected_file, count, "rows")
    path = page.write_page(
        workdir / FILE,
        "recsys: before training",
        "; ".join(data.describe(config, corpus)) + ".",
        page.Table(summary),
        [
            *([Section("To look at", [*map(page.Text, notes)])] if notes else []),
            Section("Interactions", draw_counts(corpus)),
            Section("Rejected rows", rejected),
        ],
    )
    return path, "\n".join([result_tables.to_markdown(summary), *notes]).rstrip()


def count_rows(corpus: Corpus) -> dict[str, int]:
    """Rows that were read, rejected and repeated; users, items and categories."""
    distinct = sum(map(len, corpus.splits.values()))
    return {
        "interactions read": distinct + corpus.duplicates + corpus.rejected,
        "rejected interactions": corpus.rejected,
        "repeated interactions": corpus.duplicates,
        "users": corpus.user_count,
        "items": corpus.catalogue.item_count,
        "rejected items": corpus.rejected_items,
        "categories": corpus.catalogue.tree.leaf_count,
    }


def count_by_item(corpus: Corpus) -> np.ndarray:
    """Interactions of each item in all splits, int64 [I]."""
    items = np.concatenate([part.items for part in corpus.splits.values()])
    return np.bincount(items, minlength=corpus.catalogue.item_count)


def count_interactions(corpus: Corpus) -> dict[str, float]:
    """Who and what has many interactions, and who has none."""
    by_user, by_item = corpus.of_users(*SPLITS).counts, count_by_item(corpus)
    return {
        "interactions of a user, median": float(np.median(by_user)),
        "interactions of an item, median": float(np.median(by_item)),
        "items without interactions": int((by_item == 0).sum()),
        "items without features": count_featureless(corpus.catalogue),
        "users without a test item": int((corpus.of_users("test").counts == 0).sum()),
    }


def count_featureless(catalogue: Catalogue) -> int:
    """Items whose features are all 0."""
    return sum(int((~rows.any(1)).sum()) for _, rows in _feature_blocks(catalogue))


def _feature_blocks(catalogue: Catalogue) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(items [n], their stored features [n, F]) of all items in order."""
    for first in range(0, catalogue.item_count, _BLOCK):
        items = np.arange(first, min(first + _BLOCK, catalogue.item_count))
        yield items, catalogue.take_stored(items)


def count_shared(corpus: Corpus) -> dict[str, Any]:
    """What the splits have in common, and who makes up most of the test."""
    parts = corpus.splits.values()
    users, items = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("users", "items")
    )
    _, shared = Interactions(users, items).deduplicate()
    test = corpus.splits["test"]
    seen = corpus.seen[test.items]
    copied = find_copies(corpus)[test.items]
    return {
        "pairs in more than one split (must be 0)": shared,
        "test interactions": len(seen),
        "of these, with an item that training has": f"{seen.mean():.1%}",
        "of these, with a copy of one (equal features)": f"{copied.mean():.1%}",
        "of these, of one user at most": _largest(test.users, corpus.user_ids),
        "of these, with one item at most": _largest(
            test.items, corpus.catalogue.item_ids
        ),
    }


def _largest(numbers: np.ndarray, ids: np.ndarray) -> str:
    """The share of the commonest number [N], and its id."""
    counts = np.bincount(numbers)
    return f"{counts.max() / len(numbers):.1%} ({ids[counts.argmax()]})"


def find_copies(corpus: Corpus) -> np.ndarray:
    """Items that training has not, with the features of one that it has: bool [I]."""
    hashes = np.zeros(corpus.catalogue.item_count, np.int64)  # 0 for no features
    for items, rows in _feature_blocks(corpus.catalogue):
        featured = rows.any(1)
        texts = [hash(row.tobytes()) for row in rows[featured]]
        hashes[items[featured]] = texts
    known = np.unique(hashes[corpus.seen])
    return ~corpus.seen & (hashes != 0) & np.isin(hashes, known)


def measure_steps(run: Run) -> Cost:
    """What a step costs, by running a few."""
    with contextlib.closing(train.device_batches(run, 0)) as batches:
        return data_checks.measure_steps(
            run.execution, run.learner.init, run.learner.step, None, batches
        )


def measure_pace(run: Run, cost: Cost) -> Pace:
    """What a run takes, by evaluating the lists of some users, untrained ones."""
    users = evaluation.evaluated_users(run.config, run.corpus, "validation")
    some = min(len(users), _JUDGED)
    judged = configs.replace(run.config, {"ranking.validation_users": some})
    params = run.execution.init(
        run.learner.current_params, run.execution.init(run.learner.init, None)
    )
    times = []
    for _ in range(2):  # the first one compiles
        began = time.monotonic()
        evaluation.evaluate(judged, run.corpus, run.ranker, params, "validation")
        times.append(time.monotonic() - began)
    each = times[1] * len(users) / some
    # At the end come all users of validation and test, and the most popular lists.
    everyone = 4 * each * (run.corpus.user_count / max(len(users), 1))
    return Pace(cost.seconds, each, 2 * cost.compiling + times[0] + everyone)


def measure_changed(config: Config, corpus: Corpus, say: Say) -> Pace:
    """What a run of another config takes on the same data."""
    say(f"trying {config.model.width} columns and a {config.loss.softmax} softmax")
    run = prepare(config, corpus)
    return measure_pace(run, measure_steps(run))


def smaller(config: Config) -> list[Changes]:
    """What makes a step cheaper, from a little to a lot."""
    fewer = proposals.lower(config, {"ranking.validation_users": 1000})
    if not config.ranking.validation_users:  # 0: all
        fewer = {"ranking.validation_users": 1000}
    exact = config.task_weights[1] > 0 and config.loss.softmax == "exact"
    drawn: dict[str, Any] = {"loss.softmax": "sampled"} if exact else {}
    rows = {"row_optimizer": "lazy"} if config.row_optimizer == "dense" else {}
    light = {**fewer, **drawn, **rows}
    return [fewer, light, {**light, **proposals.lower(config, {"model.width": 32})}]


def measure(run: Run, cost: Cost) -> dict[str, Any]:
    """Parameters, time of a step, memory and bytes."""
    catalogue = run.corpus.catalogue
    row = catalogue.take_stored(np.array([0]))
    return {
        "parameters": cost.parameters,
        "seconds a step, data included": cost.seconds,
        "minutes for all steps": cost.seconds * run.config.train.steps / 60,
        "peak memory, GiB": data_checks.peak_memory(),
        "features, MiB": row.nbytes * catalogue.item_count / MIB,
    }


def draw_counts(corpus: Corpus) -> list[page.Block]:
    """Histograms of the interactions of a user and of an item."""
    counts = {"user": corpus.of_users(*SPLITS).counts, "item": count_by_item(corpus)}
    pictures: list[page.Block] = []
    for name, values in counts.items():
        figure = figures.histogram(
            values[values > 0].tolist(), xlabel=f"interactions of one {name}", log=True
        )
        figure.axes[0].set_ylabel(f"{name}s")
        text = f"Interactions of one {name}, logarithmic; without those that have none"
        pictures.append(Picture(figure, text, text))
    return pictures


run = verbs.check(write)
