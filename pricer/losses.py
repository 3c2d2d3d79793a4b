"""Joint losses of price regression and gate (paper, Eq. 1 to 4), and extensions.

The gate accepts a photo, C_1 = 1, or refuses it, C_1 = 0. With errors
e_i = y_i - f_reg(x_i) in log price the paper minimises, over a batch of N items,

    percentile (Eq. 1):  mean(C_1 e^2) + beta max(0, delta - mean(C_1))
    threshold  (Eq. 3):  the same + gamma mean(BCE(f_cls, C_2)),  C_2 = [|e| <= epsilon]

where C_1 = [f_cls >= 1/2] (Eq. 2). A step function has no gradient, so C_1 goes forward
as the step and backward as the sigmoid (straight-through), or is the sigmoid itself
(soft). C_2 is a label: nothing flows back through it.

In the warm-up the paper sets C_1 = 1. In Eq. 1 the gate then gets no gradient at all,
so here the regression learns from all items and the gate from its own terms on
detached errors.

Means are over the global batch: acceptance is found first, with sums over the devices.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from common.parallel.devices import SINGLE, Devices
from common.training.metrics import Pair, weighted
from pricer.config import ErrorLoss, GateForm


class GateTerms(NamedTuple):
    """What Eq. 1 and Eq. 3 weigh the errors with.

    Attributes:
      beta: weight of the constraint on acceptance; of the size of a squared error.
      delta: least share of accepted items.
      gamma: weight of the cross-entropy; 0 for Eq. 1.
      epsilon: largest absolute log error of a positive item of Eq. 4.
    """

    beta: jax.Array | float
    delta: float
    gamma: float = 0.0
    epsilon: float = 0.0


def acceptance(gate_logits: jax.Array, form: GateForm) -> jax.Array:
    """C_1 of Eq. 2 with a gradient: [B] in 0..1.

    Args:
      gate_logits: [B]; f_cls is their sigmoid.
      form: "straight-through": forward 0 or 1, backward that of the sigmoid; "soft":
        the sigmoid both ways.
    """
    probability = jax.nn.sigmoid(gate_logits)
    if form == "soft":
        return probability
    step = (gate_logits >= 0).astype(probability.dtype)
    # Adding zero keeps the forward value at exactly 0 or 1.
    return step + (probability - jax.lax.stop_gradient(probability))


def joint_loss(
    errors: jax.Array,
    gate_logits: jax.Array,
    mask: jax.Array | None,
    terms: GateTerms,
    *,
    penalties: jax.Array | None = None,
    warm_up: bool = False,
    form: GateForm = "straight-through",
    devices: Devices = SINGLE,
) -> Pair:
    """Eq. 1, or Eq. 3 where `terms.gamma` is above 0, as (sum, weight).

    Args:
      errors: [B] y - f_reg in log price.
      gate_logits: [B].
      mask: [B], 0 for padding; None where all rows are real.
      terms: weights; a `beta` below the conditional squared error at the quantile
        delta lets the acceptance settle below delta.
      penalties: [B] what the regression minimises of each item; None for e^2. The gate
        always goes by e^2.
      warm_up: first stage: C_1 = 1 for the regression, and the gate's terms on detached
        errors; for Eq. 3 those are the cross-entropy alone, as in the paper.
      form: of C_1.
      devices: what the batch is spread over.

    Returns:
      (loss * N, N) over the global batch.
    """
    squared = errors**2
    penalties = squared if penalties is None else penalties
    accepted = acceptance(gate_logits, form)
    fixed = jax.lax.stop_gradient
    if warm_up:
        total, weight = weighted(penalties, mask, devices)
    else:
        total, weight = weighted(fixed(accepted) * penalties, mask, devices)
    if not (warm_up and terms.gamma):
        gain, _ = weighted(accepted * fixed(squared), mask, devices)
        # Only its gradient is wanted: the value stands in the first term already.
        total = total + gain - (0.0 if warm_up else fixed(gain))
        accepted_sum, _ = weighted(accepted, mask, devices)
        shortfall = jax.nn.relu(terms.delta - accepted_sum / weight)
        total = total + weight * terms.beta * shortfall
    if terms.gamma:
        positive = fixed(jnp.abs(errors) <= terms.epsilon).astype(gate_logits.dtype)
        entropy = optax.sigmoid_binary_cross_entropy(gate_logits, positive)
        total = total + terms.gamma * weighted(entropy, mask, devices)[0]
    return total, weight


def variance_loss(
    errors: jax.Array,
    gate_logits: jax.Array,
    mask: jax.Array | None,
    *,
    penalties: jax.Array | None = None,
    devices: Devices = SINGLE,
) -> Pair:
    """The rival of a gate: predicted variance, as (sum, weight).

    The second network predicts g = -log(variance of e) in the place of the gate, so
    that high still means sure, and both minimise the Gaussian likelihood

        mean(penalty + exp(g) e^2 - g)

    where the errors of the second part are detached: the regression learns from all
    items alike, and is not excused where the variance is predicted to be large.

    Args:
      errors: [B] y - f_reg in log price.
      gate_logits: [B] g.
      mask: [B], 0 for padding; None where all rows are real.
      penalties: [B] what the regression minimises of each item; None for e^2.
      devices: what the batch is spread over.
    """
    squared = errors**2
    penalties = squared if penalties is None else penalties
    likelihood = jnp.exp(gate_logits) * jax.lax.stop_gradient(squared) - gate_logits
    return weighted(penalties + likelihood, mask, devices)


def penalise(
    errors: jax.Array, kind: ErrorLoss, *, under_weight: float, band: float
) -> jax.Array:
    """What the regression minimises of each item's error e = y - f_reg.

    "squared" e^2 is the paper's. The other two are extensions of ours:

    - "asymmetric" the pinball loss max(w e, (w - 1) e) with w = `under_weight`: a
      suggestion below the sold price costs w an unit of log price, one above it 1 - w.
      Its minimum is the w-quantile of the log price.
    - "band" max(0, |e| - band): none inside a band around the sold price, linear
      outside.

    Args:
      errors: [B].
      kind: which.
      under_weight: w of the asymmetric loss, above 0 and below 1.
      band: half width in log price, at least 0.
    """
    if kind == "squared":
        return errors**2
    if kind == "asymmetric":
        return jnp.maximum(under_weight * errors, (under_weight - 1) * errors)
    return jax.nn.relu(jnp.abs(errors) - band)
