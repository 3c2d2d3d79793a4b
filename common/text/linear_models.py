"""Linear models on words, from which a network starts.

Rows are those of TF-IDF, as a sparse matrix, and the models those that one would try
first: logistic regression for classes, ridge regression for numbers. A few strengths of
the L2 penalty are tried, from strong to weak, and the best on validation rows is taken.
"""

import collections
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from common.tables.encoders import AttributeSpec
from common.text.encoder import PADDING

# Weights of sum of losses against half the squared norm: scikit-learn's C, 1 / alpha.
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_STEPS = 1000  # of L-BFGS, at most
_PAIRS = 5  # steps that it remembers
_CURVATURE = 0.1  # p (1 - p) of most classes
_ABSENT = -1e30  # logit of a class without training rows


@dataclasses.dataclass(frozen=True, eq=False)
class LinearModel:
    """A linear model and what it is worth.

    Attributes:
      kernel: [F, O], a row an id of a word.
      bias: [O].
      strength: C that was chosen.
      loss: mean on the validation rows.
      prior: the same of the best constant outputs.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
    loss: float
    prior: float

    @property
    def helps(self) -> bool:
        """Whether it tells more than the prior."""
        return self.loss < self.prior

    def describe(self, what: str) -> str:
        """What a run says of it, in a line.

        Args:
          what: it is a model of.
        """
        start = "starts from it" if self.helps else "starts at random"
        return (
            f"a linear model of the {what} on words has a loss of {self.loss:.3f} on"
            f" validation, the best constant {self.prior:.3f}: the network {start}"
        )

    def output(self, inputs: int) -> dict[str, np.ndarray]:
        """Parameters of a layer that gives its bias, whatever the inputs.

        Args:
          inputs: of the layer.
        """
        zeros = np.zeros((inputs, len(self.bias)), np.float32)
        return {"kernel": zeros, "bias": self.bias.astype(np.float32)}

    def wide(self, name: str, spec: AttributeSpec) -> dict[str, Any]:
        """Parameters of the wide path: {name_<place>: of the `WordBag` of each text}.

        Args:
          name: of the path.
          spec: of the attributes, texts among them.
        """
        ends = np.cumsum([text.size for _, text, _ in spec.texts()])
        kernels = np.split(self.kernel.astype(np.float32), ends[:-1])
        return {
            f"{name}_{place}": {"kernel": kernel}
            for (place, _, _), kernel in zip(spec.texts(), kernels, strict=True)
        }


def word_rows(
    arrays: Mapping[str, np.ndarray], spec: AttributeSpec, rows: np.ndarray
) -> sparse.csr_array:
    """Rows of TF-IDF.

    Args:
      arrays: of `Encoders.encode`.
      spec: of the same encoders.
      rows: int [n] which.

    Returns:
      float32 [n, F], the ids of all texts side by side.
    """
    parts = []
    for _, text, columns in spec.texts():
        ids = arrays["word_ids"][rows, columns]
        weights = arrays["word_weights"][rows, columns]
        some = ids != PADDING  # [n, L]
        ends = np.concatenate([[0], np.cumsum(some.sum(1))])
        shape = (len(rows), text.size)
        parts.append(sparse.csr_array((weights[some], ids[some], ends), shape))
    return sparse.hstack(parts, format="csr")


def fit_classes(
    rows: Sequence[sparse.csr_array],
    targets: Sequence[np.ndarray],
    weights: np.ndarray,
    strengths: Sequence[float] = STRENGTHS,
    tolerance: float = 1e-3,
) -> LinearModel:
    """Logistic regression of several classifiers at once.

    Minimises 1/2 |W|^2 + C sum_n sum_k w_(k, t) (-log softmax(x W_k + b_k)_t) with
    t = t_nk by L-BFGS, from the strongest penalty to the weakest, until the validation
    loss rises.

    Args:
      rows: [n, F] of training and [m, F] of validation; the types of the computation.
      targets: int [n, N_c] and [m, N_c] classes.
      weights: [N_c, K] of the classes of each classifier in the loss; 0 for a class
        without training rows, which gets no probability.
      strengths: values of C, rising.
      tolerance: a step that lowers the sum by a smaller share is the last.

    Returns:
      a model with O = N_c K outputs; of classes of weight 0 they are 0.
    """
    items = [_weights_of(each, weights) for each in targets]
    train, unseen = (
        sparse.hstack([x, np.ones((x.shape[0], 1), x.dtype)], format="csr")
        for x in rows
    )
    kernel = np.zeros((train.shape[1], weights.size), train.dtype)
    kernel[-1] = _prior(targets[0], weights)

    def validate(kernel: np.ndarray) -> float:
        loss, _ = _class_loss(unseen @ kernel, targets[1], items[1], weights)
        return loss / max(items[1].sum(), 1e-9)

    prior, best = validate(kernel), None
    for strength in strengths:
        objective = functools.partial(
            _class_loss, targets=targets[0], items=strength * items[0], weights=weights
        )
        kernel = _minimise(train, objective, kernel, strength, tolerance)
        loss = validate(kernel)
        if best is not None and loss >= best.loss:
            break
        best = LinearModel(kernel[:-1], kernel[-1], strength, loss, prior)
    assert best is not None
    return best


def _weights_of(targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weight [n, N_c] of each row in each classifier."""
    return weights[np.arange(len(weights)), targets]


def _prior(targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Log of the weighted shares of the classes, [O]; 0 for those of weight 0."""
    counts = np.stack(
        [np.bincount(t, minlength=weights.shape[1]) for t in targets.T]
    )  # [N_c, K]
    mass = counts * weights
    some = mass > 0
    shares = mass / np.maximum(mass.sum(1, keepdims=True), 1e-9)
    return np.where(some, np.log(np.where(some, shares, 1.0)), 0.0).ravel()


def _class_loss(
    outputs: np.ndarray, targets: np.ndarray, items: np.ndarray, weights: np.ndarray
) -> tuple[float, np.ndarray]:
    """Weighted sum of the losses, and its gradient to the outputs [n, O]."""
    logits = outputs.reshape(len(outputs), *weights.shape)  # [n, N_c, K]
    logits = np.where(weights > 0, logits, logits.dtype.type(_ABSENT))
    logits -= logits.max(-1, keepdims=True)
    place = targets[..., None]
    right = np.take_along_axis(logits, place, -1)[..., 0]  # [n, N_c]
    np.exp(logits, out=logits)
    sums = logits.sum(-1)
    loss = float(np.sum(items * (np.log(sums) - right), where=items > 0))
    scale = (items / sums).astype(logits.dtype)
    logits *= scale[..., None]
    picked = np.take_along_axis(logits, place, -1) - items[..., None]
    np.put_along_axis(logits, place, picked.astype(logits.dtype), -1)
    return loss, logits.reshape(outputs.shape)


def _minimise(
    x: sparse.csr_array,
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]],
    kernel: np.ndarray,
    strength: float,
    tolerance: float,
) -> np.ndarray:
    """Minimises objective(x W) + 1/2 |W|^2 by L-BFGS; the last row has no penalty.

    scipy's routine takes three times as long for a million of weights, and does not know
    that along a line the outputs x W change linearly, nor how often each word stands.
    """
    turned = x.T.tocsr()
    penalty = np.ones((len(kernel), 1), x.dtype)
    penalty[-1] = 0
    often = turned.multiply(turned).sum(1)[:, None]  # [F, 1]
    # About the reciprocal second derivatives, of which only the scale is refined.
    first = 1 / np.maximum(penalty + _CURVATURE * strength * often, 1e-9)
    first = first.astype(x.dtype)
    outputs = x @ kernel
    loss, slopes = objective(outputs)
    value = loss + 0.5 * _dot(penalty * kernel, kernel)
    gradient = turned @ slopes + penalty * kernel
    pairs: collections.deque[tuple[np.ndarray, np.ndarray]] = collections.deque(
        maxlen=_PAIRS
    )
    for _ in range(_STEPS):
        direction = -_solve(gradient, pairs, first)
        change, slope = x @ direction, _dot(gradient, direction)
        linear = _dot(penalty * kernel, direction)
        square = _dot(penalty * direction, direction)
        penalised, length = value - loss, 1.0
        while True:  # Armijo's rule; the sum is convex, so pairs stay positive
            loss, slopes = objective(outputs + length * change)
            reached = loss + penalised + length * linear + length**2 / 2 * square
            if reached <= value + 1e-4 * length * slope or length < 1e-6:
                break
            length /= 2
        if not reached < value:
            break
        before, value = value, reached
        kernel = kernel + length * direction
        outputs += length * change
        after = turned @ slopes + penalty * kernel
        pairs.append((length * direction, after - gradient))
        gradient = after
        if before - value < tolerance * abs(value):
            break
    return kernel


def _solve(
    gradient: np.ndarray,
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    first: np.ndarray,
) -> np.ndarray:
    """The two loops of L-BFGS (Nocedal and Wright, algorithm 7.4)."""
    found, shares = gradient.copy(), []
    for step, change in reversed(pairs):
        shares.append(_dot(step, found) / _dot(step, change))
        found -= shares[-1] * change
    if pairs:
        step, change = pairs[-1]
        scale = _dot(step, change) / _dot(change, first * change)
        found *= scale
    found *= first
    for (step, change), share in zip(pairs, reversed(shares), strict=True):
        found += (share - _dot(change, found) / _dot(step, change)) * step
    return found


def _dot(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.vdot(left, right))


def fit_numbers(
    rows: Sequence[sparse.csr_array],
    targets: Sequence[np.ndarray],
    strengths: Sequence[float] = STRENGTHS,
) -> LinearModel:
    """Ridge regression: minimises |y - x w - b|^2 + |w|^2 / C by LSQR.

    Args:
      rows: [n, F] of training and [m, F] of validation.
      targets: [n] and [m] numbers.
      strengths: values of C.

    Returns:
      a model with one output; its losses are mean squared errors.
    """
    x, unseen = rows
    mean, center = np.asarray(x.mean(0)).ravel(), float(targets[0].mean())
    centered = linalg.LinearOperator(
        x.shape,
        matvec=lambda w: x @ w - mean @ w,
        rmatvec=lambda r: x.T @ r - mean * r.sum(),
        dtype=np.float64,
    )
    prior = float(np.mean((targets[1] - center) ** 2))
    models = []
    for strength in strengths:
        damp = strength**-0.5
        kernel = linalg.lsqr(centered, targets[0] - center, damp, 1e-8, 1e-8)[0]
        bias = center - mean @ kernel
        loss = float(np.mean((targets[1] - unseen @ kernel - bias) ** 2))
        model = LinearModel(kernel[:, None], np.array([bias]), strength, loss, prior)
        models.append(model)
    return min(models, key=lambda model: model.loss)
