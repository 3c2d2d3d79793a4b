import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recsys.models.vbpr import Vbpr
from tests.recsys.models import score_checks
from tests.recsys.models.score_checks import SIZES, SMALL

MODELS = {
    "vbpr": Vbpr(width=8, factor_width=3, **SIZES),
    "vbpr-i": Vbpr(width=4, factor_width=0, **SIZES),
    "vbpr-i with item bias": Vbpr(
        width=4, factor_width=0, item_bias_used=True, **SIZES
    ),
    "vbpr with user bias": Vbpr(width=8, user_bias_used=True, factor_width=4, **SIZES),
}


@pytest.fixture(autouse=True)
def _compile_quickly_in_float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_scores_equal_the_plain_formula(model):
    score_checks.check_scores(model)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("name", ["vbpr", "vbpr-i"])
def test_differences_of_items_and_parts_of_scores(name, biased):
    model = MODELS[name].clone(user_bias_used=biased)
    score_checks.check_differences(model)
    score_checks.check_parts(model)


def test_an_unknown_item_has_no_factor_and_no_bias_of_its_own():
    score_checks.check_unknown_items(MODELS["vbpr"])


def test_vectors_have_128_numbers_by_default():
    """The paper's rule: the same length for all; I gives all of it to the looks."""
    assert Vbpr(**SMALL).shapes == {
        "user_visual": (3, 64),
        "user_factor": (3, 64),
        "item_factor": (4, 64),
        "item_bias": (4, 1),
        "visual_bias": (6,),
        "visual_matrix": (64, 6),
    }
    assert Vbpr(**SMALL, factor_width=0).shapes == {
        "user_visual": (3, 128),
        "visual_bias": (6,),
        "visual_matrix": (128, 6),
    }


def test_widths_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="factor_width 4 must be 0 to 3"):
        Vbpr(**SIZES, width=4, factor_width=4).init_params(jax.random.key(0))


def test_biases_start_at_zero_and_looks_at_variance_one():
    model = Vbpr(
        SIZES["tree"], 50, 60, feature_size=300, feature_power=9.0, user_bias_used=True
    )
    params = jax.jit(model.init_params)(jax.random.key(1))
    for name in ("item_bias", "user_bias", "visual_bias"):
        np.testing.assert_array_equal(params[name], 0)
    features = jnp.asarray(np.random.default_rng(0).normal(size=(200, 300)))
    features *= 3 / jnp.linalg.norm(features, axis=1, keepdims=True)
    seen = features @ params["visual_matrix"].T
    np.testing.assert_allclose(seen.var(), 1, rtol=0.05)
    np.testing.assert_allclose(params["user_factor"].std(), 0.1, rtol=0.05)
