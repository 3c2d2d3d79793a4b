import jax
import pytest

from recsys.models.deepstyle import DeepStyle
from tests.recsys.models import score_checks
from tests.recsys.models.score_checks import SIZES, SMALL

MODELS = {
    "deepstyle": DeepStyle(width=5, **SIZES),
    "deepstyle-i": DeepStyle(width=5, item_factors=False, user_bias_used=True, **SIZES),
}


@pytest.fixture(autouse=True)
def _compile_quickly_in_float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_scores_equal_the_plain_formula(model):
    score_checks.check_scores(model)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("name", ["deepstyle", "deepstyle-i"])
def test_differences_of_items_and_parts_of_scores(name, biased):
    model = MODELS[name].clone(user_bias_used=biased)
    score_checks.check_differences(model)
    score_checks.check_parts(model)


def test_an_unknown_item_has_no_factor_and_no_bias_of_its_own():
    score_checks.check_unknown_items(MODELS["deepstyle"])


def test_vectors_have_128_numbers_by_default():
    style = {
        "user_style": (3, 128),
        "visual_matrix": (128, 6),
        "leaf_style": (2, 128),
    }
    assert DeepStyle(**SMALL).shapes == style | {"item_factor": (4, 128)}
    assert DeepStyle(**SMALL, item_factors=False).shapes == style
