"""What heads make of the numbers of their layer, against scipy."""

import jax
import numpy as np
import pytest
from scipy import stats

from common.parallel.devices import SINGLE
from forecast.config import ModelConfig, Sizes
from forecast.heads import FLOOR, make_head

SIZES = Sizes(2, 0, 0, 0, (), (1,), 1, 1, missing=False)
RAW = np.array([[-30.0, 0.0, 3.0], [1.0, 2.0, 20.0]], np.float32)  # of two series
SOFT = np.log1p(np.exp(RAW.astype(float))) + FLOOR
SCALE = np.array([9.0, 0.25], np.float32)
X = np.array([3.0, 4.0], np.float32)  # counts are these times the scale: 27 and 1


def size_of_counts():
    mean, dispersion = SCALE * SOFT[:, 0], SOFT[:, 1] / np.sqrt(SCALE)
    return stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean)).logpmf([27, 1])


EXPECTED = {
    "normal": lambda: stats.norm(RAW[:, 0], SOFT[:, 1]).logpdf(X),
    "student_t": lambda: stats.t(2 + SOFT[:, 2], RAW[:, 0], SOFT[:, 1]).logpdf(X),
    "negative_binomial": size_of_counts,
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_densities_of_series_have_the_parameters_that_the_layer_gives(kind):
    count = 3 if kind == "student_t" else 2
    head = make_head(kind, ModelConfig(), SIZES, shared=False, devices=SINGLE)
    dense = {"kernel": np.zeros((4, 2 * count)), "bias": RAW[:, :count].ravel()}
    hidden, seen = np.zeros((1, 1, 4), np.float32), np.array([[[True, False]]])
    for observed in (seen, ~seen):
        found = head.apply(
            {"params": {"dense": jax.tree.map(np.float32, dense)}},
            *(hidden, X[None, None], observed, SCALE[None], False),
            method="log_prob",
        )
        expected = EXPECTED[kind]()[observed[0, 0]]
        np.testing.assert_allclose(found[0], expected, rtol=1e-5)
