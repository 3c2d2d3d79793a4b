"""Table 1 of the slides: CRPS_sum of seven networks on six sets, and what is claimed.

Source: Bergmann, "Generative Models in e-Commerce", 2020, after Rasul et al., arXiv
2002.06103; means of three runs. DeepAR is not in it.
"""

from collections.abc import Sequence

from common.reports import paper_rows
from common.reports.paper_rows import Row
from forecast import baselines
from forecast.model import FORMS

ROWS = (
    Row("deepar", "DeepAR", {"model.name": "deepar"}),
    Row("vec_lstm", "Vec-LSTM ind-scaling", {"model.name": "vec_lstm"}),
    Row(
        "vec_lstm_copula",
        "Vec-LSTM lowrank-Copula",
        {"model.name": "vec_lstm_copula"},
    ),
    Row("gp", "GP scaling", {"model.name": "gp"}),
    Row("gp_copula", "GP Copula", {"model.name": "gp_copula"}),
    Row("gru_real_nvp", "GRU Real-NVP", {"model.name": "gru_real_nvp"}),
    Row("gru_maf", "GRU MAF", {"model.name": "gru_maf"}),
    Row("transformer_maf", "Transformer MAF", {"model.name": "transformer_maf"}),
    Row("width", "width", {"model.name": "width"}),
    Row(
        "factor_1",
        "width, nothing learned",
        {"model.name": "width", "train.steps": 1, "optimizer.learning_rate": 0.0},
    ),
    *(
        Row(
            f"gru_maf_{m}", f"GRU MAF, {m}", {"model.name": "gru_maf", "model.masks": m}
        )
        for m in ("independent", "narrow")
    ),
    *(
        Row(name, name.replace("_", " "), rival=name)
        for name in baselines.NEED_STATSMODELS
    ),
)
_MODELS = tuple(name for name in FORMS if name not in ("deepar", "width"))
# (row, row that it must beat where series sell together and must not where they don't)
DEPENDENT = (
    ("gru_maf", "gru_maf_independent"),
    ("gru_maf", "gru_maf_narrow"),
    ("gru_maf", "vec_lstm"),
    ("vec_lstm_copula", "vec_lstm"),
)
PUBLISHED = {  # CRPS_sum by set, in the order of the networks above
    "exchange": (0.008, 0.007, 0.009, 0.007, 0.0064, 0.005, 0.005),
    "solar": (0.391, 0.319, 0.368, 0.337, 0.331, 0.315, 0.301),
    "electricity": (0.025, 0.064, 0.022, 0.024, 0.024, 0.0208, 0.0207),
    "traffic": (0.087, 0.103, 0.079, 0.078, 0.078, 0.069, 0.056),
    "taxi": (0.506, 0.326, 0.183, 0.208, 0.175, 0.161, 0.179),
    "wikipedia": (0.133, 0.241, 1.483, 0.086, 0.078, 0.067, 0.063),
}
COLUMNS = {
    "crps": "CRPS",
    "crps_sum": "CRPS of the sum",
    "crps_total": "CRPS of a window's total",
    "energy": "energy",
    "variogram": "variogram",
    "coverage_90": "in the 90 % interval",
}


def published(benchmark: str, model: str) -> float | None:
    """CRPS_sum as printed; None where it is not."""
    if benchmark not in PUBLISHED or model not in _MODELS:
        return None
    return PUBLISHED[benchmark][_MODELS.index(model)]


def choose_rows(names: Sequence[str]) -> tuple[Row, ...]:
    """Rows by name; where none is named those of the slides, and DeepAR."""
    usual = ("deepar", *_MODELS)
    return paper_rows.choose_rows(ROWS, names, lambda row: row.name in usual)
