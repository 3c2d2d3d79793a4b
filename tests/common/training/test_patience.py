import math

import pytest

from common.training.patience import Patience, describe_rise

NAN = math.nan


@pytest.mark.parametrize(
    ("mode", "values", "waited"),
    [
        ("min", [3, 2, 1], 0),
        ("min", [3, 4, 5], 2),
        ("min", [3, 3, 3], 2),  # an equal value is no improvement
        ("min", [3, 4, 2], 0),
        ("max", [3, 4, 5], 0),
        ("max", [3, 2, 3], 2),
        ("min", [NAN, NAN], 2),
        ("min", [NAN, 5], 0),
        ("min", [5, NAN], 1),
        ("max", [], 0),
    ],
)
def test_evaluations_since_the_best_are_counted(mode, values, waited):
    patience = Patience(2, mode)
    for value in values:
        patience.add(value)
    assert patience.waited == waited
    assert patience.over == (waited >= 2)
    again = Patience(2, mode)
    again.restore(patience.to_json())
    assert again == patience


def test_off_is_never_over():
    patience = Patience(0, "min")
    for value in range(100):
        patience.add(value)
    assert patience.waited == 99
    assert not patience.over


def test_a_checkpoint_of_before_has_no_patience():
    patience = Patience(3, "max")
    patience.restore({})
    assert patience == Patience(3, "max")


@pytest.mark.parametrize(
    ("curves", "mode", "best", "sentence"),
    [
        (
            {"validation/loss": ([4, 8, 12], [0.5, 0.25, 1.0])},
            "min",
            8,
            (
                "validation loss rose from 0.25 at step 8 to 1 at step 12: fewer steps or"
                " --train.patience would do"
            ),
        ),
        (
            {
                "validation/loss": ([4, 8], [0.5, 0.75]),
                "validation/top3": ([4, 8], [0.6, 0.5]),
            },
            "max",
            4,
            (
                "validation loss rose from 0.5 at step 4 to 0.75 at step 8: fewer steps or"
                " --train.patience would do"
            ),
        ),
        (
            {"validation/top3": ([4, 8], [0.6, 0.5])},
            "max",
            4,
            (
                "validation top3 fell from 0.6 at step 4 to 0.5 at step 8: fewer steps or"
                " --train.patience would do"
            ),
        ),
        ({"validation/top3": ([4, 8], [0.5, 0.6])}, "max", 8, None),
        ({"validation/loss": ([4, 8], [0.5, 0.5])}, "min", 4, None),
        ({"validation/loss": ([4, 8], [0.5, NAN])}, "min", 4, None),
    ],
)
def test_a_rise_after_the_best_step_is_one_sentence(curves, mode, best, sentence):
    assert describe_rise(curves, "top3", mode, best) == sentence
