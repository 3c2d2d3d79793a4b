"""How good networks and orders are, in numbers and request by request."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from common.training import activity
from rerank import importance, metrics
from rerank.config import LISTWISE, POINTWISE
from rerank.corpus.requests import Requests
from rerank.generated import serp
from rerank.metrics import Column
from rerank.ordering import ranker
from rerank.ordering.ranker import UNFITTED, Calibration, Outputs, Ranker
from rerank.run import Run

REQUESTS = "requests_test.npz"
_PAIRED = ("gauc", "log_loss", "utility", "ndcg")  # what claims are about
NETWORKS = (POINTWISE, LISTWISE)
POLICIES = ("logged", "sort", "search")  # in the order of `Outputs.values`


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluated:
    """What a trained model did.

    Attributes:
      values: contents of metrics.json.
      columns: {name: of single test requests}.
      outputs: of the test requests.
      calibration: fitted on validation.
      searches: whether answers are searched for.
      verdict: the same in words.
    """

    values: dict[str, Any]
    columns: dict[str, Column]
    outputs: Outputs
    calibration: Calibration
    searches: bool
    verdict: str

    @property
    def answers(self) -> np.ndarray:
        """int32 [R, L], the orders that answer the test requests."""
        found: np.ndarray = self.outputs.search if self.searches else self.outputs.sort
        return found


@activity.doing("evaluating on validation and test")
def evaluate(run: Run, params: Any) -> Evaluated:
    """Calibrates on validation, decides whether to search, measures both splits.

    Args:
      run: prepared.
      params: {phase: parameters} in device form.
    """
    reranker = Ranker(run.config, run.learners, run.execution)
    fitted = calibrate(run, predict(run, reranker, params, UNFITTED, "validation"))
    searches = fitted.searches(run.config)
    values: dict[str, Any] = {"searches": float(searches)}
    for split in ("validation", "test"):
        outputs = predict(run, reranker, params, fitted, split)
        measured, columns = summarise(run, split, outputs, fitted)
        values |= measured
    values |= importance.measure(run, params[LISTWISE])
    values |= {f"{name}/n": len(part) for name, part in run.corpus.splits.items()}
    verdict = describe_guard(run, fitted, searches)
    return Evaluated(values, columns, outputs, fitted, searches, verdict)


def summarise(
    run: Run, split: str, outputs: Outputs, fitted: Calibration
) -> tuple[dict[str, float], dict[str, Column]]:
    """Metrics of a split, and of its single requests.

    The metrics of the answer stand without a prefix too: "test/ndcg@10" is
    "test/search/ndcg@10" where answers are searched for, else "test/sort/ndcg@10".
    """
    columns = measure(run, split, outputs, fitted)
    answer = "search/" if fitted.searches(run.config) else "sort/"
    columns |= {
        name.removeprefix(answer): column
        for name, column in columns.items()
        if name.startswith(answer)
    }
    values = {f"{split}/{name}": column.mean for name, column in columns.items()}
    return values | _pooled(run, split, outputs, fitted), columns


def describe_guard(run: Run, fitted: Calibration, searches: bool) -> str:
    """What the guard decided, in a line."""
    losses = (
        f"log-loss on validation {fitted.log_losses[LISTWISE]:.4f} list-wise,"
        f" {fitted.log_losses[POINTWISE]:.4f} pointwise, a lead of {fitted.lead:+.4f}"
        f" ± {fitted.lead_error:.4f}"
    )
    if run.config.search.use != "auto":
        return f"--search.use={run.config.search.use}; {losses}"
    answer = "orders are searched for" if searches else "the answer is the sorted order"
    return f"{losses}: {answer}"


def predict(
    run: Run, reranker: Ranker, params: Any, fitted: Calibration, split: str
) -> Outputs:
    """Answers to the requests of a split."""
    requests = run.corpus.splits[split]
    with contextlib.closing(run.eval_batches(requests)) as batches:  # type: ignore[type-var]
        return reranker.predict(params, fitted, batches, len(requests))


def calibrate(run: Run, outputs: Outputs) -> Calibration:
    """Fits the calibration of both networks on the shown orders of validation."""
    shown = labels_of(run, "validation")
    there = shown["mask"]
    logits = {phase: getattr(outputs, phase)[there] for phase in NETWORKS}
    requests = np.nonzero(there)[0]
    return ranker.fit_calibration(logits, shown["target"][there], requests)


def labels_of(run: Run, split: str) -> dict[str, np.ndarray]:
    """What is known of the places of a split: [R, L] each, 0 in padding."""
    requests: Requests = run.corpus.splits[split]
    prices = np.nan_to_num(run.corpus.items.prices[requests.items], nan=0.0)
    columns = {
        "target": requests.labels(run.config.loss.target),
        "gains": requests.gains,
        "clicks": requests.clicks,
        "revenue": requests.purchases * prices,
    }
    padded = {name: requests.pad(each, run.length) for name, each in columns.items()}
    return {"mask": requests.mask(run.length), **padded}


def measure(
    run: Run, split: str, outputs: Outputs, fitted: Calibration
) -> dict[str, Column]:
    """Metrics of single requests.

    Of each network "pointwise/gauc" and "/log_loss"; of each policy ("logged" as shown,
    "sort", "search") the metrics of `metrics.order_metrics`, "search/value" under the
    evaluator, and of the built-in serp "search/utility", which is the truth; and
    "chance/ndcg@3" of random orders.
    """
    shown = labels_of(run, split)
    mask, columns = shown["mask"], {}
    for phase in NETWORKS:
        logits = fitted.apply(phase, getattr(outputs, phase))
        columns[f"{phase}/gauc"] = metrics.list_auc(logits, shown["target"], mask)
        columns[f"{phase}/log_loss"] = metrics.log_loss(logits, shown["target"], mask)
    columns["gauc"] = columns[f"{LISTWISE}/gauc"]
    for k in metrics.KS:
        chance = metrics.ndcg_of_chance(shown["gains"], mask, k)
        columns[f"chance/ndcg@{k}"] = chance
    places = np.broadcast_to(np.arange(mask.shape[1]), mask.shape)
    orders = {"logged": places, "sort": outputs.sort, "search": outputs.search}
    whole = Column(np.zeros(len(mask)), np.asarray(mask.any(1), np.float64))
    for number, policy in enumerate(POLICIES):
        found = metrics.order_metrics(orders[policy], mask, shown)
        found["value"] = whole._replace(values=outputs.values[:, number])
        if (truth := true_utility(run, split, orders[policy])) is not None:
            found["utility"] = whole._replace(values=truth)
            beyond = np.asarray(outputs.values[:, number] - truth)
            found["overestimate"] = whole._replace(values=beyond)
        columns |= {f"{policy}/{name}": column for name, column in found.items()}
    return columns


def true_utility(run: Run, split: str, orders: np.ndarray) -> np.ndarray | None:
    """Expected targets of orders [R, L] of the built-in serp; None of own requests."""
    config = run.config
    if config.data.requests:
        return None
    rows = np.arange(len(orders))
    length = run.corpus.sizes.length
    target = config.loss.target
    return serp.true_utility(config.serp, split, rows, orders[:, :length], target)


def off_policy(run: Run, split: str, order: np.ndarray) -> dict[str, float]:
    """What a place of an order is worth, told from where it agrees with the log.

    Args:
      run: its data.
      split: of the requests.
      order: int [R, L].

    Returns:
      "snips" mean target of a place (None: too few places agree), "snips_size" effective
      number of places, "snips_clipped" share whose weight was clipped; {} where the
      log has no propensities. See `metrics.snips`.
    """
    requests: Requests = run.corpus.splits[split]
    if requests.propensities is None:
        return {}
    there = requests.mask(run.length)
    agrees = (order == np.arange(order.shape[1]))[there]
    rewards = requests.labels(run.config.loss.target)
    estimate = metrics.snips(agrees, rewards, requests.propensities)
    return {
        "snips": estimate.value,
        "snips_size": estimate.effective_size,
        "snips_clipped": estimate.clipped,
    }


def _pooled(
    run: Run, split: str, outputs: Outputs, fitted: Calibration
) -> dict[str, float]:
    """AUC and calibration error of all places together."""
    shown = labels_of(run, split)
    there, values = shown["mask"], {}
    for phase in NETWORKS:
        logits = fitted.apply(phase, getattr(outputs, phase))[there]
        values[f"{split}/{phase}/auc"] = metrics.auc(logits, shown["target"][there])
        error = metrics.calibration_error(logits, shown["target"][there])
        values[f"{split}/{phase}/ece"] = error
    for policy, order in (("sort", outputs.sort), ("search", outputs.search)):
        found = off_policy(run, split, order)
        values |= {f"{split}/{policy}/{name}": value for name, value in found.items()}
    if outputs.clicks is not None:
        clicks = metrics.auc(outputs.clicks[there], shown["clicks"][there])
        values[f"{split}/click_auc"] = clicks
    return values


def write_requests(workdir: pathlib.Path, columns: Mapping[str, Column]) -> None:
    """Writes what claims over requests need, see `read_requests`."""
    kept = {
        name: np.stack(column)
        for name, column in columns.items()
        if name.split("/")[-1].split("@")[0] in _PAIRED
    }
    with open(workdir / REQUESTS, "wb") as file:
        np.savez(file, **kept)  # type: ignore[arg-type]


def read_requests(workdir: pathlib.Path) -> Mapping[str, Column]:
    """Metrics of single test requests of a finished run, by name."""
    with np.load(workdir / REQUESTS, allow_pickle=False) as arrays:
        return {name: Column(*arrays[name]) for name in arrays.files}
