import numpy as np
import pytest

from recsys.generated import latents
from recsys.generated.parameters import ClosetConfig
from tests.recsys.generated import ceilings

SIZES = {"user_count": 150, "item_count": 5000, "interaction_count": 7800}


def ndcg(**changes):
    found = ceilings.ceilings(ClosetConfig(**SIZES, **changes), count=150)
    return {name: scores["ndcg@10"] for name, scores in found.items()}


@pytest.fixture(scope="module")
def all_on():
    return ndcg()


def test_each_effect_is_worth_knowing(all_on, capsys):
    with capsys.disabled():
        print("\ncloset:", {name: round(value, 3) for name, value in all_on.items()})
    assert all_on["popularity"] < 0.08
    assert all_on["content"] > 3 * all_on["popularity"] and all_on["content"] > 0.08
    assert all_on["oracle"] > 1.3 * all_on["content"]
    for name in ("siblings", "parents", "one_map", "photo", "category"):
        assert all_on[name] < 0.75 * all_on["content"], name


def test_without_visual_style_content_is_the_category_alone(all_on):
    off = ndcg(visual_style=False)
    assert off["content"] == off["category"] == all_on["category"]
    assert off["oracle"] == all_on["oracle"]


def test_without_leaf_style_one_map_reads_all(all_on):
    off = ndcg(leaf_style=False)
    assert off["one_map"] == off["content"] == all_on["content"]


def test_without_user_side_siblings_share_nothing_to_learn():
    off = ndcg(user_side=False)
    assert off["siblings"] == pytest.approx(off["content"], rel=0.02)
    assert off["content"] > 5 * off["popularity"]


def test_without_hierarchy_parents_tell_nothing():
    off = ndcg(hierarchy=False)
    assert off["parents"] == off["photo"]
    assert off["content"] > 2 * off["photo"]


def test_where_items_are_common_those_who_know_them_are_far_ahead(all_on):
    off = ndcg(uniqueness=False)
    assert off["popularity"] > 3 * all_on["popularity"]
    assert off["oracle"] > 2 * off["content"]


def test_scores_are_affinity_and_how_long_the_item_is_to_be_had():
    config = ClosetConfig(user_count=20, item_count=100, interaction_count=160)
    users = latents.sample_users(config)
    items = latents.sample_items(config, np.array([4, 9]))
    weights = np.linspace(-1, 1, 20)
    known = latents.traits(config, items)
    interest = np.array([1.5, 4.0])
    found = ceilings._log_rates(users, weights, known, interest)
    for column, number in enumerate(interest):
        felt = np.sum(users.taste * known[column], axis=1)
        times = np.exp(found[:, column] - felt)
        np.testing.assert_allclose(times, times[0])
        taken = [
            1 - np.exp(-times[0] * np.exp(w + a))
            for w, a in zip(weights, felt, strict=True)
        ]
        assert sum(taken) == pytest.approx(number, rel=0.01)


def test_the_best_are_kept_block_by_block():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3, 64))
    scores[0, 5:] = -np.inf
    best = ceilings._Best(3)
    for first in (0, 8, 40):
        last = {0: 8, 8: 40, 40: 64}[first]
        best.see(np.arange(first, last), scores[:, first:last])
    order = np.argsort(-scores, axis=1)[:, :10]
    np.testing.assert_array_equal(best.items[1:], order[1:])
    assert best.items[0].tolist() == order[0, :5].tolist() + [-1] * 5
