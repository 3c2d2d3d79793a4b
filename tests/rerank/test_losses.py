"""Losses against arithmetic, and what is asked of rax."""

import importlib.metadata

import jax
import numpy as np
import pytest
import rax

from rerank import losses
from rerank.losses import RANKING_LOSSES

LOGITS = np.array([[0.5, -1.0, 2.0, 0.0], [0.3, 0.1, 9.0, 9.0], [5.0] * 4], np.float32)
LABELS = np.array([[1, 0, 0, 1], [0, 0, 7, 7], [1, 1, 1, 1]], np.float32)
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], bool)
KEY = jax.random.key(0)


def softmax(scores, labels):
    return np.sum(labels * (np.log(np.exp(scores).sum()) - scores))


def pairwise(scores, labels):
    terms = [
        np.log1p(np.exp(b - a))
        for a, la in zip(scores, labels, strict=True)
        for b, lb in zip(scores, labels, strict=True)
        if la > lb
    ]
    return np.mean(terms)  # over pairs


def compute(kind, logits=LOGITS, labels=LABELS, key=KEY):
    loss = jax.jit(lambda s, y: losses.list_loss(kind, s, y, MASK, key))
    return tuple(map(float, loss(logits, labels)))


def test_cross_entropy_is_over_places():
    total, weight = compute("bce")
    p = 1 / (1 + np.exp(-LOGITS[MASK]))
    expected = -np.log(np.where(LABELS[MASK] > 0, p, 1 - p)).sum()
    assert (total, weight) == (pytest.approx(expected, rel=1e-5), 6)


@pytest.mark.parametrize(
    ("kind", "plain"), [("softmax", softmax), ("pairwise", pairwise)]
)
def test_ranking_losses_by_hand(kind, plain):
    """The list of equal labels adds 0, the empty one does not count."""
    total, weight = compute(kind)
    assert (total, weight) == (pytest.approx(plain(LOGITS[0], LABELS[0]), rel=1e-5), 2)


def test_listmle_is_the_likelihood_of_an_order_that_the_labels_allow():
    def negative(order, scores):
        rest = [scores[list(order[i:])] for i in range(len(order))]
        return sum(float(np.log(np.exp(r).sum()) - r[0]) for r in rest)

    first = [
        negative(o, LOGITS[0])
        for o in ([0, 3, 1, 2], [0, 3, 2, 1], [3, 0, 1, 2], [3, 0, 2, 1])
    ]
    second = [negative(o, LOGITS[1]) for o in ([0, 1], [1, 0])]
    possible = {round(a + b, 3) for a in first for b in second}
    seen = {round(compute("listmle", key=jax.random.key(k))[0], 3) for k in range(6)}
    assert len(seen) > 1 and seen <= possible


@pytest.mark.parametrize("kind", sorted(RANKING_LOSSES))
def test_what_is_asked_of_rax(kind):
    """Masked places have no say and no gradient, an empty list is 0; in one program."""
    other = np.where(MASK, LOGITS, 1e4).astype(np.float32)

    def total(logits):
        return losses.list_loss(kind, logits, LABELS, MASK, KEY)[0]

    both = jax.jit(jax.value_and_grad(total))
    (value, gradient), (again, gradient_again) = both(LOGITS), both(other)
    assert float(value) == float(again)
    np.testing.assert_array_equal(gradient, gradient_again)
    assert np.all(np.isfinite(gradient)) and not np.any(np.asarray(gradient)[~MASK])


def test_rax_is_the_release_that_these_losses_were_tried_on():
    assert importlib.metadata.version("rax").startswith("0.4.")
    assert {"softmax_loss", "listmle_loss", "pairwise_logistic_loss"} <= set(dir(rax))


def test_auc_of_lists_by_hand():
    total, weight = losses.list_auc(LOGITS, LABELS, MASK)
    # 0.5 beats -1 and loses to 2; 0.0 likewise: 2 of 4 pairs, in a list of 4.
    assert (float(total), float(weight)) == (2.0, 4.0)
