"""Tables 2 to 5 of the paper: their rows, its figures, and what it claims of them.

Which switch of the built-in closet must undo which claim is told in `recsys.generated.closet`.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from common.config import configs
from common.errors import UserError
from common.reports import claims, result_tables
from recsys.config import OURS, Config
from recsys.paper import figures


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the tables.

    Attributes:
      name: short, for flags and folders: "vbpr-ii".
      title: as the paper prints it.
      model: of `ModelConfig.name`.
      both_tasks: whether it is trained on both tasks.
      rival: whether it is one of `recsys.paper.rivals`, which train in another library.
    """

    name: str
    title: str
    model: str
    both_tasks: bool
    rival: bool = False

    def apply(self, config: Config, seed: int) -> Config:
        """The config of one run of this row."""
        changes: dict[str, Any] = {"train.seed": seed}
        if not self.rival:
            changes["model.name"] = self.model
        if not self.rival and not self.both_tasks:
            # J1 alone, as large as it is beside the other.
            changes |= {"loss.user_weight": 0.0, "loss.item_weight": 1.0}
        if not self.rival and self.model != config.model.name:
            changes["model.level_widths"] = ()
        if config.reproduce.resplit:
            changes["data.split_seed"] = seed
        return configs.replace(config, changes)


def _baseline(name: str, title: str) -> tuple[Row, ...]:
    return (
        Row(name, title, name, False),
        Row(f"{name}-i", f"{title}-I", f"{name}-i", False),
        Row(f"{name}-ii", f"{title}-II", f"{name}-i", True),
    )


BASELINES = ("vbpr", "sherlock", "deepstyle")
SINGLE = f"{OURS}-s"
ROWS = (
    *_baseline("vbpr", "VBPR"),
    *_baseline("sherlock", "Sherlock"),
    *_baseline("deepstyle", "DeepStyle"),
    Row(SINGLE, "OurModel-S", OURS, False),
    Row(OURS, "OurModel", OURS, True),
    Row("item-knn", "ItemKNN", "", False, rival=True),
    Row("als", "ALS", "", False, rival=True),
    Row("bpr", "BPR", "", False, rival=True),
)
POPULARITY = "popularity"
# Table of the paper by metric.
METRICS = {"accuracy": "table2", "auc": "table3", "ndcg": "table4", "f1": "table5"}
TITLES = {"accuracy": "Accuracy", "auc": "AUC", "ndcg": "NDCG", "f1": "F1"}
# What models are compared by; on the closet also by what is planted there, for the
# pairs of which one has the second task and the other not.
JUDGED = "ndcg@10"
PLANTED = "branch_need@10"

Results = Mapping[str, Sequence[Mapping[str, Any]]]


def choose_rows(names: Sequence[str]) -> tuple[Row, ...]:
    """Rows by name, in the order of the tables; those of the paper for ().

    Raises:
      UserError: for a name that no row has.
    """
    result_tables.check_rows(names, [row.name for row in ROWS])
    if names:
        chosen = tuple(row for row in ROWS if row.name in names)
        if all(row.rival for row in chosen):
            raise UserError("--reproduce.rows: name a row to hold the rivals against")
        return chosen
    return tuple(row for row in ROWS if not row.rival)


def metric_table(
    metric: str, group: str, rows: Sequence[Row], results: Results, config: Config
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
            cells[f"@{length}"] = _mean(
                results[row.name], f"test/{group}{metric}@{length}"
            )
        if not group and not config.data.interactions:
            for length in lengths:
                printed = figures.figure(metric, row.name, config.closet.subset, length)
                if printed is not None:
                    cells[f"paper @{length}"] = f"{printed:.3f}"
        table.append(cells)
    runs = results[next(row.name for row in rows if not row.rival)]
    cells = {"row": "most popular items"}
    for length in lengths:
        cells[f"@{length}"] = _mean(runs, f"{POPULARITY}/test/{group}{metric}@{length}")
    return [*table, cells]


def verdicts(results: Results) -> list[claims.Verdict]:
    """Judges every claim of section 4.4 whose rows are all there.

    Args:
      results: {name of a row: metrics of each seed, in one order}.
    """
    titles = {row.name: row.title for row in ROWS}
    second_task = [(f"{name}-ii", f"{name}-i") for name in BASELINES]
    second_task.append((OURS, SINGLE))
    pairs: list[tuple[str, str]] = []
    for name in BASELINES:
        pairs += [(f"{name}-i", name), (f"{name}-ii", f"{name}-i")]
        pairs.append((OURS, f"{name}-ii"))
    pairs += [(SINGLE, f"{name}-i") for name in BASELINES]
    pairs.append((OURS, SINGLE))
    pairs += [(OURS, row.name) for row in ROWS if row.rival]
    judged = []
    for metric, where, compared in (
        (JUDGED, "all items", pairs),
        (f"unseen/{JUDGED}", "unseen items", pairs),
        (PLANTED, "needs of branches", second_task),
    ):
        for better, worse in compared:
            found = [results.get(better, ()), results.get(worse, ())]
            if not all(runs and f"test/{metric}" in runs[0] for runs in found):
                continue
            first, second = (_figures(runs, f"test/{metric}") for runs in found)
            claim = f"{titles[better]} > {titles[worse]}, {where}"
            judged.append(claims.verdict_on(claim, first, second))
    if OURS in results:
        ours = results[OURS]
        judged.append(
            claims.verdict_on(
                "OurModel > most popular items, all items",
                _figures(ours, f"test/{JUDGED}"),
                _figures(ours, f"{POPULARITY}/test/{JUDGED}"),
            )
        )
    return judged


def _figures(runs: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """A metric of each seed; NaN where it is not finite."""
    return [math.nan if run[name] is None else float(run[name]) for run in runs]


def _mean(runs: Sequence[Mapping[str, Any]], name: str) -> str:
    values = [run.get(name) for run in runs]
    return "" if None in values else result_tables.format_mean(values)  # type: ignore[arg-type]
