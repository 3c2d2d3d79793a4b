import jax
import pytest

from recsys.corpus.tree import CategoryTree
from recsys.models.sherlock import Sherlock
from tests.recsys.models import score_checks
from tests.recsys.models.score_checks import SIZES, SMALL

MODELS = {
    "sherlock": Sherlock(width=10, factor_width=2, **SIZES),
    "sherlock-i": Sherlock(width=7, factor_width=0, level_widths=(4, 0, 3), **SIZES),
}


@pytest.fixture(autouse=True)
def _compile_quickly_in_float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_scores_equal_the_plain_formula(model):
    score_checks.check_scores(model)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("name", ["sherlock", "sherlock-i"])
def test_differences_of_items_and_parts_of_scores(name, biased):
    model = MODELS[name].clone(user_bias_used=biased)
    score_checks.check_differences(model)
    score_checks.check_parts(model)


def test_vectors_have_128_numbers_by_default():
    assert Sherlock(**SMALL).shapes == {
        "user_visual": (3, 64),
        "user_factor": (3, 64),
        "item_factor": (4, 64),
        "item_bias": (4, 1),
        "visual_bias": (6,),
        "level1_matrix": (1, 32, 6),
        "level2_matrix": (1, 16, 6),
        "level3_matrix": (2, 16, 6),
    }
    assert Sherlock(**SMALL, factor_width=0).shapes == {
        "user_visual": (3, 128),
        "visual_bias": (6,),
        "level1_matrix": (1, 64, 6),
        "level2_matrix": (1, 32, 6),
        "level3_matrix": (2, 32, 6),
    }


def test_widths_of_levels():
    for levels, expected in [(1, (64,)), (2, (32, 32)), (4, (34, 10, 10, 10))]:
        tree, _ = CategoryTree.from_paths([tuple("abcd"[:levels])])
        assert Sherlock(tree, user_count=1).visual_widths == expected


@pytest.mark.parametrize("widths", [(32, 32), (32, 32, 32)])
def test_widths_of_levels_that_do_not_fit_are_refused(widths):
    with pytest.raises(ValueError, match="3 numbers that add up to 64"):
        Sherlock(**SIZES, level_widths=widths).init_params(jax.random.key(0))
