"""Tables 2 to 5 of the paper: their rows, its figures, and what it claims of them.

Three tables are ours: the gate against its rivals, and what prices of the seller and of
the most alike photos add.
Which switch of the built-in bazaar must undo which claim is told in `pricer.generated.bazaar`.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.config import configs
from common.errors import UserError
from common.reports import claims, result_tables
from pricer.config import Config
from pricer.evaluation import COVERAGES


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the tables.

    Attributes:
      name: short, for flags and folders: "p50".
      title: in words.
      tables: names of the tables it stands in.
      changes: knobs by dotted name.
      paper: its share accepted in percent, MALE, RMSLE; () where it has none.
      boosting: whether it is gradient boosting, see `pricer.paper.rivals`.
    """

    name: str
    title: str
    tables: tuple[str, ...]
    changes: Mapping[str, Any]
    paper: tuple[float, ...] = ()
    boosting: bool = False

    def apply(self, config: Config, seed: int) -> Config:
        """The config of one run of this row."""
        changes = {**self.changes, "train.seed": seed}
        config = configs.replace(config, changes)
        if not config.warm_up.use:
            # As many steps as the two stages together.
            steps = config.warm_up.steps + config.train.steps
            config = configs.replace(config, {"train.steps": steps})
        return config


PERCENTILES = (30, 40, 50, 60, 70)
LEAST_AUC = 0.9  # of the gate against the truth of the bazaar
_VARIANCE = {"gate.constraint": "variance"}
_SINGLE = {"model.features": "single"}
_COLD = {"warm_up.use": False}


def _percentile(percent: int, paper: tuple[float, float, float]) -> Row:
    changes = {"gate.constraint": "percentile", "gate.percentile": percent / 100}
    tables: tuple[str, ...] = ("table2",)
    if percent == 50:
        tables += ("table4", "table5", "statistics", "comparables")
    if percent in COVERAGES:
        tables += ("rivals",)
    return Row(f"p{percent}", f"percentile {percent} %", tables, changes, paper)


def _threshold(percent: int, paper: tuple[float, float, float]) -> Row:
    changes = {"gate.constraint": "threshold", "gate.threshold": percent / 100}
    tables: tuple[str, ...] = ("table3",)
    if percent == 50:
        tables += ("table4", "table5")
    return Row(f"e{percent}", f"threshold 0.{percent // 10}", tables, changes, paper)


def _variant(
    row: Row,
    suffix: str,
    words: str,
    table: str,
    changes: Mapping[str, Any],
    paper: tuple[float, ...] = (),
) -> Row:
    return Row(
        f"{row.name}_{suffix}",
        f"{row.title}, {words}",
        (table,),
        {**row.changes, **changes},
        paper,
    )


_P50 = _percentile(50, (50.08, 0.3864, 0.5302))
_E50 = _threshold(50, (69.04, 0.4033, 0.5553))

ROWS = (
    _percentile(30, (30.20, 0.3573, 0.4828)),
    _percentile(40, (40.68, 0.3685, 0.5023)),
    _P50,
    _percentile(60, (62.29, 0.4012, 0.5502)),
    _percentile(70, (71.52, 0.4132, 0.5666)),
    _threshold(30, (35.11, 0.3427, 0.4764)),
    _threshold(40, (53.86, 0.3776, 0.5223)),
    _E50,
    _threshold(60, (79.18, 0.4265, 0.5878)),
    _threshold(70, (82.29, 0.4309, 0.5917)),
    _variant(_P50, "single", "STFE", "table4", _SINGLE, (47.74, 0.4008, 0.5421)),
    _variant(_E50, "single", "STFE", "table4", _SINGLE, (60.41, 0.4104, 0.5572)),
    _variant(_P50, "cold", "without warm-up", "table5", _COLD, (49.32, 0.3940, 0.5343)),
    _variant(_E50, "cold", "without warm-up", "table5", _COLD, (56.95, 0.4058, 0.5484)),
    _variant(
        _P50,
        "no_seller",
        "no prices of the seller",
        "statistics",
        {"labels.seller": ""},
    ),
    _variant(
        _P50,
        "no_comparables",
        "all features, no comparables",
        "comparables",
        # Without either there might be nothing left to see.
        {"comparables.count": 0, "model.inputs": "all"},
    ),
    Row("variance", "predicted variance", ("rivals",), _VARIANCE),
    Row("boosting", "boosting, predicted error", ("rivals",), {}, boosting=True),
)

OF_THE_PAPER = ("table2", "table3", "table4", "table5")
RIVALS = "rivals"
TITLES = {
    "table2": "Table 2: percentile constraint",
    "table3": "Table 3: threshold constraint",
    "table4": "Table 4: features of four networks (MSTFE) and of one (STFE)",
    "table5": "Table 5: with warm-up and without",
    "statistics": "With price statistics of the seller and without",
    "comparables": "With prices of the most alike photos, and with features alone",
    RIVALS: "The gate and its rivals at equal coverage",
}


def choose_rows(names: Sequence[str], config: Config) -> tuple[Row, ...]:
    """Rows by name, in the order of the tables.

    Args:
      names: of rows; () for all that make sense with the config: gradient boosting is
        left out, for it takes long, and what is about sellers or comparables where
        there are none.
      config: of the runs.

    Raises:
      UserError: for a name that no row has; for boosting alone.
    """
    result_tables.check_rows(names, [row.name for row in ROWS])
    if names:
        chosen = tuple(row for row in ROWS if row.name in names)
        if all(row.boosting for row in chosen):
            raise UserError("--reproduce.rows: name a row to hold boosting against")
        return chosen
    senseless = {
        "p50_no_seller": not config.labels.seller,
        "p50_no_comparables": not config.comparables.count,
    }
    return tuple(r for r in ROWS if not r.boosting and not senseless.get(r.name))


Results = Mapping[str, Sequence[Mapping[str, Any]]]


def verdicts(results: Results) -> list[claims.Verdict]:
    """Judges every claim whose rows are all there.

    Args:
      results: {name of a row: metrics of each seed, in one order}.
    """
    judged = []
    for row in ROWS:
        if "table2" not in row.tables or row.name not in results:
            continue
        judged.append(
            claims.verdict_on(
                f"accepted items have a lower error than all ({row.name})",
                _figures(results, row.name, "test/male_all"),
                _figures(results, row.name, "test/male"),
            )
        )
    for kind, word in (("p", "larger share"), ("e", "larger threshold")):
        for low, high in itertools.pairwise(PERCENTILES):
            judged += _less(
                results,
                f"a {word} has a larger error ({kind}{low} < {kind}{high})",
                f"{kind}{low}",
                f"{kind}{high}",
            )
    for kind in ("p50", "e50"):
        judged += _less(
            results,
            f"four networks give better features than one ({kind})",
            kind,
            f"{kind}_single",
        )
        judged += _less(results, f"the warm-up helps ({kind})", kind, f"{kind}_cold")
    judged += _less(results, "prices of the seller help", "p50", "p50_no_seller")
    judged += _less(results, "comparables help", "p50", "p50_no_comparables")
    return judged + _against_rivals(results) + _against_truth(results)


def _against_rivals(results: Results) -> list[claims.Verdict]:
    """That the gate has a lower error than its rivals where as much is accepted."""
    judged = []
    for share in COVERAGES:
        row, name = f"p{share}", f"test/male_at_{share}"
        rivals = [
            # What is accepted at random has the error of all, on the average.
            ("a random choice", "variance", "test/male_all"),
            ("predicted variance", "variance", name),
            ("boosting", "boosting", name),
        ]
        for rival, other, theirs in rivals:
            if row in results and other in results:
                figures = _figures(results, other, theirs), _figures(results, row, name)
                judged.append(
                    claims.verdict_on(f"the gate beats {rival} at {share} %", *figures)
                )
    return judged


def _against_truth(results: Results) -> list[claims.Verdict]:
    """That the gate finds the bad photos, where they are known."""
    return [
        claims.verdict_on(
            f"the gate ranks good photos first, AUC above {LEAST_AUC:g} ({name})",
            _figures(results, name, "test/gate_auc"),
            [LEAST_AUC] * len(results[name]),
        )
        for name in ("p30", "p50", "p70")
        if "test/gate_auc" in (results.get(name) or [{}])[0]
    ]


def _less(
    results: Results, claim: str, better: str, worse: str
) -> list[claims.Verdict]:
    """That one row's MALE on accepted items is lower than another's."""
    if better not in results or worse not in results:
        return []
    figures = [_figures(results, name, "test/male") for name in (worse, better)]
    return [claims.verdict_on(claim, *figures)]


def _figures(results: Results, row: str, name: str) -> list[float]:
    """A metric of each seed; NaN where it is not finite."""
    return [np.nan if run[name] is None else run[name] for run in results[row]]
