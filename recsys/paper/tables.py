"""Tables 2 to 5 of the paper: their rows, its figures, and what it claims of them.

Which switch of the built-in closet must undo which claim is told in `recsys.generated.closet`.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from common.config import configs
from common.reports import paper_rows
from common.reports.paper_rows import Claim, Results, mean_cell
from recsys.config import BASELINES, BOTH_TASKS, OURS, RIVALS, Config
from recsys.paper import figures


@dataclasses.dataclass(frozen=True)
class Row(paper_rows.Row):
    """One row of the tables: a model by its name."""

    def apply(self, config: Any, seed: int) -> Any:
        """The config of one run: model, tasks and seed, and its own split if asked."""
        changes: dict[str, Any] = {"model.name": self.name}
        model = dataclasses.replace(config.model, name=self.name)
        if model.score != config.model.score:
            changes["model.level_widths"] = ()
        if self.name not in BOTH_TASKS:  # weights that are given are those of two tasks
            changes |= {"loss.item_weight": None, "loss.user_weight": None}
        if config.reproduce.resplit:
            changes["data.split_seed"] = seed
        return super().apply(configs.replace(config, changes), seed)


def _baseline(name: str, title: str) -> tuple[Row, ...]:
    return tuple(
        Row(f"{name}{suffix.lower()}", f"{title}{suffix}")
        for suffix in ("", "-I", "-II")
    )


SINGLE = f"{OURS}-s"
ROWS = (
    *_baseline("vbpr", "VBPR"),
    *_baseline("sherlock", "Sherlock"),
    *_baseline("deepstyle", "DeepStyle"),
    Row(SINGLE, "OurModel-S"),
    Row(OURS, "OurModel"),
    *(
        Row(name, title, rival=name)
        for name, title in zip(RIVALS, ("ItemKNN", "ALS", "BPR"), strict=True)
    ),
)
POPULARITY = "popularity"
# Table of the paper by metric.
METRICS = {"accuracy": "table2", "auc": "table3", "ndcg": "table4", "f1": "table5"}
TITLES = {"accuracy": "Accuracy", "auc": "AUC", "ndcg": "NDCG", "f1": "F1"}
# What models are compared by; on the closet also by what is planted there, for the
# pairs of which one has the second task and the other not.
METRIC = "ndcg@10"
PLANTED = "branch_need@10"


def choose_rows(names: Sequence[str]) -> tuple[Row, ...]:
    """Rows by name; those of the paper for (). See `paper_rows.choose_rows`."""
    chosen = paper_rows.choose_rows(ROWS, names, lambda row: not row.rival)
    return tuple(row for row in ROWS if row in chosen)


def metric_table(
    metric: str,
    group: str,
    rows: Sequence[paper_rows.Row],
    results: Results,
    config: Config,
) -> list[dict[str, Any]]:
    """One of Tables 2 to 5, with the most popular items as its last row.

    Args:
      metric: "accuracy", ….
      group: "" for all test items, "seen/" or "unseen/".
      rows: in order.
      results: metrics of each seed by the row's name.
      config: of the runs.
    """
    table = []
    lengths = config.ranking.lengths
    for row in rows:
        cells: dict[str, Any] = {"row": row.title}
        for length in lengths:
            name = f"test/{group}{metric}@{length}"
            cells[f"@{length}"] = mean_cell(results[row.name], name)
        if not group and not config.data.interactions:
            for length in lengths:
                printed = figures.figure(metric, row.name, config.closet.subset, length)
                if printed is not None:
                    cells[f"paper @{length}"] = f"{printed:.3f}"
        table.append(cells)
    runs = results[next(row.name for row in rows if not row.rival)]
    cells = {"row": "most popular items"}
    for length in lengths:
        name = f"{POPULARITY}/test/{group}{metric}@{length}"
        cells[f"@{length}"] = mean_cell(runs, name)
    return [*table, cells]


def _pairs() -> Iterator[tuple[str, str]]:
    """(better, worse) of section 4.4, and our model against the rivals."""
    for name in BASELINES:
        yield from ((f"{name}-i", name), (f"{name}-ii", f"{name}-i"))
        yield OURS, f"{name}-ii"
    yield from ((SINGLE, f"{name}-i") for name in BASELINES)
    yield OURS, SINGLE
    yield from ((OURS, name) for name in RIVALS)
    yield from (("vbpr", name) for name in RIVALS)


def _claim(better: str, worse: str, metric: str, about: str) -> Claim:
    titles = {row.name: row.title for row in ROWS}
    text = f"{titles[better]} > {titles[worse]}, {about}"
    return Claim(text, (better,), (worse,), f"test/{metric}")


_SECOND_TASK = (*((f"{name}-ii", f"{name}-i") for name in BASELINES), (OURS, SINGLE))
CLAIMS = (
    *(_claim(*pair, METRIC, "all items") for pair in _pairs()),
    *(_claim(*pair, f"unseen/{METRIC}", "unseen items") for pair in _pairs()),
    *(_claim(*pair, PLANTED, "needs of branches") for pair in _SECOND_TASK),
    *(
        Claim(
            f"{title} > most popular items, all items",
            (name,),
            (name,),
            f"test/{METRIC}",
            of_worse=f"{POPULARITY}/test/{METRIC}",
        )
        for title, name in (("OurModel", OURS), ("VBPR", "vbpr"))
    ),
)
