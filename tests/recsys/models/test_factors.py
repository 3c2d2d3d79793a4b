import jax
import pytest

from recsys.models.factors import Factors
from tests.recsys.models import score_checks
from tests.recsys.models.score_checks import SIZES, SMALL

MODEL = Factors(width=5, **SIZES)


@pytest.fixture(autouse=True)
def _compile_quickly_in_float64():
    with jax.enable_x64(True):
        yield


def test_scores_equal_the_plain_formula():
    score_checks.check_scores(MODEL)


def test_parts_of_scores():
    score_checks.check_parts(MODEL)


def test_an_unknown_item_has_no_vector():
    score_checks.check_unknown_items(MODEL)


def test_nothing_is_known_but_users_and_items():
    assert Factors(**SMALL).shapes == {
        "user_factor": (3, 128),
        "item_factor": (4, 128),
        "item_bias": (4, 1),
    }
