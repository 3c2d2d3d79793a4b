"""What a report says of a run, and the tables in it."""

import json

import pytest

from common.config import configs
from recsys import report
from recsys.config import Config

BELOW = {"validation/ndcg@10": 0.0034, "popularity/validation/ndcg@10": 0.0115}


def compare(values=BELOW, last_was_best=False, **changes):
    named = {name.replace("__", "."): value for name, value in changes.items()}
    usual = {"negatives.kind": "hierarchical", "optimizer.name": "adamw"}
    config = configs.replace(Config(), usual | named)
    return report.compare_with_popular(config, values, last_was_best)


def test_lists_below_the_most_popular_items_are_told_with_both_figures():
    text = compare()
    assert text.startswith(
        "below the most popular items: ndcg@10 on validation is 0.0034, theirs 0.0115."
    )
    assert "\n" not in text


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (0.02, 0.0115),
        (0.0115, 0.0115),
        (None, 0.0115),  # what metrics.json has for no number
        (0.0034, None),
        (float("nan"), 0.0115),
    ],
)
def test_nothing_is_told_of_others(ours, theirs):
    values = {"validation/ndcg@10": ours, "popularity/validation/ndcg@10": theirs}
    assert compare(values) == ""
    assert compare({}) == ""


def test_the_metric_that_chose_the_best_state_is_held_against():
    recall = {"validation/recall@5": 0.1, "popularity/validation/recall@5": 0.2}
    above = {"validation/ndcg@10": 0.2, "popularity/validation/ndcg@10": 0.1}
    assert "recall@5 on validation is 0.1000, theirs 0.2000" in compare(
        recall | above, train__best_metric="recall@5"
    )
    assert compare(recall | above) == ""
    # How many items lists spread over is no measure of their worth.
    wide = {"validation/coverage@5": 0.1, "popularity/validation/coverage@5": 0.2}
    assert compare(wide | above, train__best_metric="coverage@5") == ""
    unseen = {"validation/unseen/ndcg@5": 0.1, "popularity/validation/unseen/ndcg@5": 0}
    assert compare(unseen | BELOW, train__best_metric="unseen/ndcg@5") == ""
    # Without a list of ten the middle one counts.
    short = {"validation/ndcg@5": 0.1, "popularity/validation/ndcg@5": 0.2}
    changes = {"ranking__lengths": (2, 5), "train__best_metric": "gini@2"}
    assert "ndcg@5 on" in compare(short, **changes)


VBPR, UNIFORM = "--model.name=vbpr", "--negatives.kind=uniform"
STEPS, DECAY = "more --train.steps", "an --optimizer.weight_decay above"
RULE = "--optimizer.name=adamw"


@pytest.mark.parametrize(
    "changes, last_was_best, expected",
    [
        ({}, False, {VBPR, UNIFORM, DECAY}),
        ({"model__name": "sherlock-i"}, False, {VBPR, UNIFORM, DECAY}),
        ({"model__name": "vbpr-i"}, False, {VBPR, UNIFORM, DECAY}),
        ({"model__name": "vbpr"}, False, {UNIFORM, DECAY}),
        ({"negatives__kind": "uniform"}, False, {VBPR, DECAY}),
        ({"model__name": "vbpr", "negatives__kind": "uniform"}, False, {DECAY}),
        ({}, True, {VBPR, UNIFORM, STEPS}),
        ({"optimizer__name": "adam"}, False, {VBPR, UNIFORM, RULE}),
        ({"optimizer__name": "adam"}, True, {VBPR, UNIFORM, STEPS}),
        # No gradient fits a rival, and it draws no negatives of ours.
        ({"model__name": "item-knn"}, False, {VBPR, "other settings --item_knn.…"}),
        ({"model__name": "bpr"}, True, {VBPR, "other settings --bpr.…"}),
    ],
)
def test_what_applies_to_the_run_is_proposed(changes, last_was_best, expected):
    text = compare(last_was_best=last_was_best, **changes)
    every = {VBPR, UNIFORM, STEPS, DECAY, RULE} | expected
    assert {words for words in every if words in text} == expected


def test_figures_of_today_stand_in_what_is_proposed():
    assert "weight_decay above 0.3." in compare(optimizer__weight_decay=0.3)
    assert "--train.steps than 70: the last evaluation was best" in compare(
        last_was_best=True, train__steps=70
    )


@pytest.mark.parametrize(
    "curve, words",
    [([0.001, 0.003], STEPS), ([0.003, 0.001], DECAY), ([], DECAY)],
)
def test_the_curve_of_the_workdir_tells_whether_the_last_was_best(
    curve, words, tmp_path
):
    assert report.find_warning(Config(), tmp_path) == ""  # no metrics.json yet
    (tmp_path / "metrics.json").write_text(json.dumps(BELOW))
    lines = [
        {"phase": "train", "step": step, "validation/ndcg@10": value}
        for step, value in enumerate(curve, 1)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "metrics.jsonl").write_text(text)
    assert words in report.find_warning(Config(), tmp_path)
    assert words in report.find_warning(Config(), tmp_path, BELOW)
