"""The table that the paper lacks: ablations, lambda, rivals; and what is claimed of them.

The paper prints one figure, an AUC 0.0005 above its production model's, and no ablation.
"""

import dataclasses
from collections.abc import Sequence

from common.reports import paper_rows
from common.reports.paper_rows import Row
from rerank.metrics import KS

GAUC, UTILITY = "gauc", "utility"
COLUMNS = {  # of the table of results, by metric
    "gauc": "GAUC",
    "listwise/log_loss": "log-loss",
    "ndcg@10": "NDCG@10",
    "click@3": "clicks@3",
    "logged/utility": "utility, as shown",
    "sort/utility": "utility, sorted",
    "search/utility": "utility, searched",
    "search/overestimate": "searched, over-estimate",
    "sort/overestimate": "sorted, over-estimate",
}

ROWS = (
    Row("armmt", "ARMMT"),
    Row("lambda_0", "(i) without the click task", {"loss.click_weight": 0.0}),
    Row("concat", "(ii) concatenation for CAFU", {"model.fusion": "concat"}),
    Row("no_context", "(iii) CAFU without context", {"model.fusion_context": False}),
    Row("no_image", "(iv) without images", {"model.modalities": ("text",)}),
    Row("no_text", "(v) without texts", {"model.modalities": ("image",)}),
    Row("no_history", "(vi) without history", {"model.history": False}),
    Row("pointwise", "(vii) without attention over the list"),
    Row("lambda_0.03", "lambda 0.03", {"loss.click_weight": 0.03}),
    Row("lambda_0.1", "lambda 0.1", {"loss.click_weight": 0.1}),
    Row("lambda_1", "lambda 1", {"loss.click_weight": 1.0}),
    Row("prm", "PRM", {"model.name": "prm"}),
    Row("setrank", "SetRank", {"model.name": "setrank"}),
    Row("mlp", "pointwise MLP", {"model.name": "mlp"}),
    Row("trees", "boosted regression trees", rival="trees"),
    Row("lambdamart", "LambdaMART", rival="lambdamart"),
    Row("lambdamart_unbiased", "LambdaMART, positions known", rival="unbiased"),
)
# A row whose figures another run has: (its run, the network that they are of).
SHARED = {"pointwise": ("armmt", "pointwise")}


def choose_rows(names: Sequence[str]) -> tuple[Row, ...]:
    """Rows by name; the ablations and networks where none is named.

    See `paper_rows.choose_rows`.
    """
    return paper_rows.choose_rows(ROWS, names, lambda row: not row.rival)


@dataclasses.dataclass(frozen=True)
class Claim:
    """Something that is said of test requests, paired over requests and seeds.

    Attributes:
      text: what is claimed.
      better: (row, metric of single requests).
      worse: the same of what is said to be worse.
    """

    text: str
    better: tuple[str, str]
    worse: tuple[str, str]


def _ranks(k: int, rival: str, metric: str, text: str) -> Claim:
    name = f"ndcg@{k}"
    return Claim(f"{text} (NDCG@{k})", ("armmt", name), (rival, metric + name))


def _beats(name: str, text: str) -> Claim:
    return Claim(f"{text} (GAUC)", ("armmt", GAUC), (name, GAUC))


CLAIMS = (
    Claim(
        "searched orders beat the pointwise sort in true utility",
        ("armmt", "search/utility"),
        ("armmt", "sort/utility"),
    ),
    Claim(
        "the pointwise sort beats the shown order in true utility",
        ("armmt", "sort/utility"),
        ("armmt", "logged/utility"),
    ),
    Claim(
        "ARMMT's answers beat LambdaMART's order in true utility",
        ("armmt", UTILITY),
        ("lambdamart", UTILITY),
    ),
    _beats("lambda_0", "(i) the click task helps"),
    _beats("concat", "(ii) CAFU beats concatenation"),
    _beats("no_context", "(iii) the context helps CAFU"),
    _beats("no_image", "(iv) images help"),
    _beats("no_text", "(v) texts help"),
    _beats("no_history", "(vi) the history helps"),
    Claim(
        "(vii) attention over the list helps (GAUC)",
        ("armmt", GAUC),
        ("armmt", "pointwise/gauc"),
    ),
    _beats("prm", "ARMMT beats PRM"),
    _beats("setrank", "ARMMT beats SetRank"),
    _beats("mlp", "ARMMT beats a pointwise MLP"),
    _beats("trees", "ARMMT beats boosted regression trees"),
    _beats("lambdamart", "ARMMT beats LambdaMART"),
    *(_ranks(k, "armmt", "logged/", "ARMMT beats the order shown") for k in KS),
    *(_ranks(k, "trees", "", "ARMMT beats boosted regression trees") for k in KS),
    *(_ranks(k, "lambdamart", "", "ARMMT beats LambdaMART") for k in KS),
)
