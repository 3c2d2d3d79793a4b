"""`--mode=check`: what to know of the data before training."""

import pathlib
from typing import Any

import numpy as np

from common.cli import verbs
from common.parallel import processes
from common.reports import data_checks, figures, page, result_tables
from common.reports.page import Picture, Section
from common.training import workdirs
from common.training.workdirs import Say
from rerank import data
from rerank.config import Config
from rerank.corpus.corpus import Corpus
from rerank.corpus.requests import Requests

FILE = "check.html"


def write(config: Config, workdir: pathlib.Path, say: Say) -> tuple[pathlib.Path, str]:
    """Reads the data of a run to come, and writes check.html and rejected.csv.

    Returns:
      (path of the page, the summary as Markdown).

    Raises:
      UserError: whatever the user can mend.
    """
    processes.start(config.parallel)
    workdirs.make_folder(workdir)
    rejected_file = workdir / data.REJECTED
    corpus = data.load(config, say, rejected_file)
    facts = {**count_requests(corpus), **count_missing(corpus), **count_shared(corpus)}
    summary = [{"": name, "found": value} for name, value in facts.items()]
    train = corpus.splits["train"]
    lengths = figures.histogram(train.lengths.tolist(), xlabel="candidates of a list")
    text = "Lengths of the lists in training"
    rejected = data_checks.count_reasons(rejected_file, corpus.rejected, "rows")
    path = page.write_page(
        workdir / FILE,
        "rerank: before training",
        "; ".join(data.describe(config, corpus)) + ".",
        page.Table(summary),
        [
            Section("Clicks and purchases by place", [page.Table(count_places(train))]),
            Section("Lists", [Picture(lengths, text, text)]),
            Section("Rejected rows", rejected),
        ],
    )
    return path, result_tables.to_markdown(summary).rstrip()


def count_requests(corpus: Corpus) -> dict[str, Any]:
    """How many lists there are, and how much they tell."""
    every = [*corpus.splits.values()]
    lengths = np.concatenate([part.lengths for part in every])
    clicks = [np.add.reduceat(part.clicks, part.starts[:-1]) for part in every]
    randomised = np.concatenate([part.randomised for part in every])
    return {
        **{f"requests, {name}": len(part) for name, part in corpus.splits.items()},
        "rejected rows": corpus.rejected,
        "items": len(corpus.items),
        "candidates of a list, median": float(np.median(lengths)),
        "candidates of a list, most": int(lengths.max()),
        "lists of one candidate": int((lengths == 1).sum()),
        "lists without a click": _share(np.concatenate(clicks) == 0),
        "lists in random order": _share(randomised),
    }


def count_missing(corpus: Corpus) -> dict[str, str]:
    """What candidates and requests lack, by share in all splits."""
    items, parts = corpus.items, [*corpus.splits.values()]
    shown = np.concatenate([part.items for part in parts])
    past = np.concatenate([np.diff(part.history_starts) for part in parts])
    lacking: dict[str, np.ndarray] = {
        **{name: ~bits[shown] for name, bits in items.present.items()},
        "category": items.categories[shown] < 0,
        "price": np.isnan(items.prices[shown]),
    }
    missing = {f"candidates without {name}": _share(b) for name, b in lacking.items()}
    return {**missing, "requests without a history": _share(past == 0)}


def count_shared(corpus: Corpus) -> dict[str, str]:
    """What the test has in common with training."""
    train, test = corpus.splits["train"], corpus.splits["test"]
    shared = {"test candidates that training shows": np.isin(test.items, train.items)}
    if train.queries is not None:
        queries = np.isin(test.folded_queries, train.folded_queries)
        shared["test requests with a query of training"] = queries
    if train.times is not None and test.times is not None:
        before = test.times < np.nanmax(train.times)
        shared["test requests before the last of training"] = before
    return {name: _share(bits) for name, bits in shared.items()}


def count_places(part: Requests) -> list[dict[str, Any]]:
    """Clicks and purchases at each place of the lists."""
    counts = np.bincount(part.places)
    clicks, purchases = (
        np.bincount(part.places, values) / counts
        for values in (part.clicks, part.purchases)
    )
    return [
        {
            "place": k + 1,
            "lists": int(n),
            "clicks": clicks[k],
            "purchases": purchases[k],
        }
        for k, n in enumerate(counts)
    ]


def _share(bits: np.ndarray) -> str:
    return f"{bits.mean():.1%}"


run = verbs.check(write)
