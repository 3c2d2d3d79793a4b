"""Answers to requests: both networks, the search, and the guard that may turn it off."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize, special

from common.config import configs
from common.parallel import rng
from common.parallel.execution import Execution
from rerank.config import LISTWISE, POINTER, POINTWISE, Config
from rerank.model import Encoded
from rerank.ordering import constraints, search
from rerank.ordering.pointer import pointer_policy
from rerank.step import Learner

Batch = Mapping[str, Any]
Params = Mapping[str, Any]  # {phase: parameters}

SOURCES = ("sort", "shown")  # of the first proposals; beams and samples follow
# Standard errors by which the list-wise network must lead: two networks that know the
# same differ by chance, and a search then only finds the errors of one of them.
SURE = 1.96


class Outputs(NamedTuple):
    """What is said of each list of a batch, on device or host; places as shown.

    Attributes:
      pointwise: logits [B, L] of the pointwise network at the shown places.
      listwise: logits [B, L] of the evaluator at the shown order.
      clicks: logits [B, L] of the evaluator's auxiliary task; None without it.
      sort: int32 [B, L], the order by the pointwise network.
      search: int32 [B, L], the best order that was found.
      values: [B, 3] of the shown, the sorted and the found order under the evaluator.
      source: int32 [B], proposal that the found order is or comes from.
      found: [B, L] chances of the target at the places of the found order.
      weights: [B, L, 2, M] of the modalities; None for rivals.
      history: [B, L, H, M] weights of past items; None without a history.
    """

    pointwise: Any
    listwise: Any
    clicks: Any
    sort: Any
    search: Any
    values: Any
    source: Any
    found: Any
    weights: Any
    history: Any


@dataclasses.dataclass(frozen=True)
class Calibration:
    """sigmoid(slope logit + offset) by network, and whether to search.

    Attributes:
      slopes: {phase: slope}.
      offsets: {phase: offset}.
      log_losses: {phase: on validation, calibrated}.
      lead: how much lower the list-wise network's log-loss is.
      lead_error: standard error of that over requests of validation.
    """

    slopes: Mapping[str, float]
    offsets: Mapping[str, float]
    log_losses: Mapping[str, float]
    lead: float = 0.0
    lead_error: float = 0.0

    def apply(self, phase: str, logits: Any) -> Any:
        """Calibrated logits."""
        return self.slopes[phase] * logits + self.offsets[phase]

    def chances(self, phase: str, logits: np.ndarray) -> np.ndarray:
        """Calibrated chances of the target."""
        found: np.ndarray = special.expit(self.apply(phase, logits))
        return found

    def searches(self, config: Config) -> bool:
        """Whether answers are searched for, see `SearchConfig.use`."""
        use = config.search.use
        better = self.lead > SURE * self.lead_error
        return use == "always" or (use == "auto" and better)


UNFITTED = Calibration(
    {POINTWISE: 1.0, LISTWISE: 1.0}, {POINTWISE: 0.0, LISTWISE: 0.0}, {}
)


def fit_calibration(
    logits: Mapping[str, np.ndarray], labels: np.ndarray, requests: np.ndarray
) -> Calibration:
    """Logistic regression of labels on the logits of each network (Platt scaling).

    Args:
      logits: {phase: [N]} of validation places.
      labels: [N] in [0, 1].
      requests: int [N], the request that a place is of.
    """
    slopes, offsets, losses = {}, {}, {}
    for phase, said in logits.items():
        said = np.asarray(said, np.float64)

        def losses_of(line, said=said):
            z = line[0] * said + line[1]
            return np.logaddexp(0, z) - labels * z  # [N]

        def loss(line, said=said):
            error = special.expit(line[0] * said + line[1]) - labels
            slope = np.array([np.mean(error * said), np.mean(error)])
            return np.mean(losses_of(line)), slope

        # A line that falls would turn the order round.
        bounds = [(1e-3, None), (None, None)]
        fitted = optimize.minimize(loss, (1.0, 0.0), jac=True, bounds=bounds)
        slopes[phase], offsets[phase] = map(float, fitted.x)
        losses[phase] = losses_of(fitted.x)
    means = {phase: float(each.mean()) for phase, each in losses.items()}
    lead = losses[POINTWISE] - losses[LISTWISE]  # [N]
    error = _standard_error(lead, requests)
    return Calibration(slopes, offsets, means, float(lead.mean()), error)


def _standard_error(values: np.ndarray, requests: np.ndarray) -> float:
    """Of the mean over places [N], which are alike within a request."""
    mean, count = values.mean(), len(np.unique(requests))
    if count < 2:
        return abs(float(mean))  # a single request tells nothing
    beyond = np.bincount(requests, values - mean)  # sums by request
    variance = np.square(beyond).sum() * count / (count - 1)
    return float(np.sqrt(variance) / len(values))


def answer(
    config: Config,
    learners: Mapping[str, Learner],
    params: Params,
    calibration: Calibration,
    batch: Batch,
) -> Outputs:
    """Orders of requests; a pure function that can be compiled and exported.

    Args:
      config: of the search.
      learners: by phase.
      params: by phase.
      calibration: of both networks.
      batch: of `batches.gather`; no labels are read.
    """
    mask = batch["mask"]
    pointwise, listwise = learners[POINTWISE], learners[LISTWISE]
    alone = pointwise.encode(params[POINTWISE], batch).items
    first = _score_alone(pointwise, params[POINTWISE], alone, mask)
    encoded: Encoded = listwise.encode(params[LISTWISE], batch)

    def score(items, mask):
        logits = listwise.score(params[LISTWISE], items, mask)
        return calibration.apply(LISTWISE, logits)

    project = _projection(config, batch)
    keys = jnp.broadcast_to(rng.root(0)[None], (mask.shape[0],))
    policy = None
    if POINTER in params:
        policy = pointer_policy(params[POINTER], encoded.items, mask)
    proposals = search.propose(first, mask, policy, keys, config.search)
    if project is not None:
        proposals = project(proposals)
    worth = batch["prices"] if config.search.value == "revenue" else None
    values = search.order_values(score, encoded.items, mask, worth)
    choice = search.best_order(values, proposals, mask, config.search.budget, project)
    rows = jnp.arange(mask.shape[0])[:, None]
    ordered, placed = encoded.items[rows, choice.order], mask[rows, choice.order]
    shown_value, sorted_value = choice.values[:, 1], choice.values[:, 0]
    return Outputs(
        pointwise.score(params[POINTWISE], alone, mask),
        listwise.score(params[LISTWISE], encoded.items, mask),
        encoded.click_logits,
        proposals[:, 0],
        choice.order,
        jnp.stack([shown_value, sorted_value, choice.value], axis=1),
        choice.source,
        jax.nn.sigmoid(score(ordered, placed)),
        encoded.fusion_weights,
        encoded.history_weights,
    )


def _score_alone(
    learner: Learner, params: Any, items: jax.Array, mask: jax.Array
) -> jax.Array:
    """Logits [B, L] of every candidate at the first place of a list of its own."""
    rows = items.reshape(-1, 1, items.shape[-1])  # [B L, 1, D]
    logits = learner.score(params, rows, jnp.ones((rows.shape[0], 1), bool))
    return jnp.where(mask, logits.reshape(mask.shape), 0.0)


def _projection(config: Config, batch: Batch) -> search.Project | None:
    """What makes orders feasible; None where they are free."""
    if "pins" not in batch and "cap_labels" not in batch:
        return None
    free = jnp.full(batch["mask"].shape, -1, jnp.int32)
    bound = constraints.Constraints(
        batch.get("pins", free),
        batch.get("cap_labels"),
        config.search.cap_count,
        config.search.cap_places if "cap_labels" in batch else 0,
    )
    return lambda orders: constraints.project(orders, batch["mask"], bound)


class Ranker:
    """Compiled answers.

    Args:
      config: of the search.
      learners: by phase.
      execution: what it runs on.
    """

    def __init__(
        self, config: Config, learners: Mapping[str, Learner], execution: Execution
    ):
        def predict(state, batch):
            params, slopes, offsets = state
            fitted = Calibration(slopes, offsets, {})
            return answer(config, learners, params, fitted, batch)

        self._execution = execution
        self._predict = execution.predict_all(predict)

    def predict(
        self,
        params: Params,
        calibration: Calibration,
        batches: Iterable[Batch],
        rows: int,
    ) -> Outputs:
        """Answers of all batches together, on the host.

        Args:
          params: in device form.
          calibration: of both networks.
          batches: of one shape.
          rows: real ones among them.
        """
        line = dict(calibration.slopes), dict(calibration.offsets)
        fitted = self._execution.replicate(line)
        outputs: Outputs = self._predict((params, *fitted), batches, rows)
        return outputs


def without_search(config: Config) -> Config:
    """The same where the answer is the sort: no other order is proposed or valued."""
    none = {"search.beams": 0, "search.samples": 0, "search.budget": 0}
    return configs.replace(config, none)
