"""Tables 2 to 5 of the paper: their rows, its figures, and what it claims of them.

Three tables are ours: the gate against its rivals, and what prices of the seller and of
the most alike photos add.
Which switch of the built-in bazaar must undo which claim is told in `pricer.generated.bazaar`.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from common.config import configs
from common.reports import paper_rows
from common.reports.paper_rows import Claim
from pricer.config import Config
from pricer.evaluation import COVERAGES


class Row(paper_rows.Row):
    """One row of the tables.

    `paper` holds its share accepted in percent, MALE and RMSLE; `rival` is "boosting"
    for gradient boosting, see `pricer.paper.rivals`.
    """

    def apply(self, config: Config, seed: int) -> Config:
        """The config of one run of this row."""
        config = super().apply(config, seed)
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
    return Row(f"p{percent}", f"percentile {percent} %", changes, tables, paper)


def _threshold(percent: int, paper: tuple[float, float, float]) -> Row:
    changes = {"gate.constraint": "threshold", "gate.threshold": percent / 100}
    tables: tuple[str, ...] = ("table3",)
    if percent == 50:
        tables += ("table4", "table5")
    return Row(f"e{percent}", f"threshold 0.{percent // 10}", changes, tables, paper)


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
        {**row.changes, **changes},
        (table,),
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
    Row("variance", "predicted variance", _VARIANCE, ("rivals",)),
    Row("boosting", "boosting, predicted error", {}, ("rivals",), rival="boosting"),
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


def choose_rows(names: Sequence[str], config: Config) -> tuple[paper_rows.Row, ...]:
    """Rows by name, in the order of the tables. See `paper_rows.choose_rows`.

    Args:
      names: of rows; () for all that make sense with the config: gradient boosting is
        left out, for it takes long, and what is about sellers or comparables where
        there are none.
      config: of the runs.
    """
    senseless = {
        "p50_no_seller": not config.labels.seller,
        "p50_no_comparables": not config.comparables.count,
    }
    return paper_rows.choose_rows(
        ROWS, names, lambda row: not row.rival and not senseless.get(row.name)
    )


def _less(
    text: str, better: str, worse: str, name: str = "male", of: str = ""
) -> Claim:
    """That a row's error is lower than another's: `name`, held against `of`."""
    of_worse = f"test/{of}" if of else ""
    return Claim(text, (better,), (worse,), f"test/{name}", of_worse, lower=True)


# What is accepted at random has the error of all, on the average.
_RIVALS = (
    ("a random choice", "variance", "male_all"),
    ("predicted variance", "variance", ""),
    ("boosting", "boosting", ""),
)

CLAIMS = (
    *(
        _less(
            f"accepted items have a lower error than all ({row})",
            row,
            row,
            of="male_all",
        )
        for row in (f"p{percent}" for percent in PERCENTILES)
    ),
    *(
        _less(
            f"a larger {word} has a larger error ({kind}{low} < {kind}{high})",
            f"{kind}{low}",
            f"{kind}{high}",
        )
        for kind, word in (("p", "share"), ("e", "threshold"))
        for low, high in itertools.pairwise(PERCENTILES)
    ),
    *(
        _less(f"{text} ({row})", row, f"{row}_{suffix}")
        for row in ("p50", "e50")
        for text, suffix in (
            ("four networks give better features than one", "single"),
            ("the warm-up helps", "cold"),
        )
    ),
    _less("prices of the seller help", "p50", "p50_no_seller"),
    _less("comparables help", "p50", "p50_no_comparables"),
    *(
        _less(f"the gate beats {rival} at {k} %", f"p{k}", row, f"male_at_{k}", of)
        for k in COVERAGES
        for rival, row, of in _RIVALS
    ),
    *(
        Claim(
            f"the gate ranks good photos first, AUC above {LEAST_AUC:g} ({row})",
            (row,),
            (),
            "test/gate_auc",
            bar=LEAST_AUC,
        )
        for row in ("p30", "p50", "p70")
    ),
)
