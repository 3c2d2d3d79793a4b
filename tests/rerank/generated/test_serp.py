import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from rerank.generated import products, serp
from rerank.generated.parameters import LENGTH, SerpConfig

SMALL = {"train_count": 1500, "validation_count": 300, "test_count": 400}
SEARCH = SerpConfig(**SMALL)
FUSION = SerpConfig(preset="fusion", **SMALL)
SHOWN = np.arange(LENGTH)[None, :]


def of(config, count=400):
    """Lists of the test split, and their orders as shown."""
    rows = np.arange(count)
    return serp.draw(config, "test", rows), rows, np.repeat(SHOWN, count, axis=0)


def utility_by_hand(config, lists, row, order):
    """The definition, written as a loop over places."""
    total = 0.0
    for k, item in enumerate(order):
        logit = lists.logits[row, item]
        for d in (1, 2, 3):
            if config.list_effects and d <= k:
                same = lists.style[row, order[k - d]] == lists.style[row, item]
                logit -= 1.5 / d * same
        if config.list_effects and k:
            gap = lists.price[row, order[k - 1]] - lists.price[row, item]
            logit += 0.6 * min(max(gap, 0), 1.5)
        total += 1 / np.log2(2 + k) / (1 + np.exp(-logit))
    return total


@pytest.mark.parametrize(
    "config", [SEARCH, dataclasses.replace(SEARCH, list_effects=False)]
)
def test_utility_is_the_loop(config):
    lists, rows, shown = of(config, 20)
    orders = np.random.default_rng(1).permuted(shown, axis=1)
    expected = [utility_by_hand(config, lists, r, orders[r]) for r in rows]
    np.testing.assert_allclose(
        serp.true_utility(config, "test", rows, orders), expected, rtol=1e-12
    )


def test_utility_of_a_list_of_two_by_arithmetic():
    # Both of one style with logits 0 and 1; the second is dearer by 1.
    logits, price, style = (
        np.array([[0.0, 1.0]]),
        np.array([[0.0, 1.0]]),
        np.ones((1, 2)),
    )
    clicks, _ = serp.chances(SEARCH, logits, price, style)
    second = 1 / (1 + np.exp(-(1 - 1.5))) / np.log2(3)
    np.testing.assert_allclose(clicks, [[0.5, second]])
    clicks, _ = serp.chances(SEARCH, logits[:, ::-1], price[:, ::-1], style)
    second = 1 / (1 + np.exp(-(0 - 1.5 + 0.6))) / np.log2(3)
    np.testing.assert_allclose(clicks, [[1 / (1 + np.exp(-1)), second]])


@pytest.mark.parametrize("config", [SEARCH, FUSION])
@pytest.mark.parametrize("target", ["click", "purchase"])
def test_labels_follow_the_utility(config, target):
    """The labels as drawn are a Monte Carlo estimate of the utility as shown."""
    count = 8000
    big = dataclasses.replace(config, test_count=count)
    requests = serp.make_corpus(big).splits["test"]
    _, rows, shown = of(big, count)
    expected = serp.true_utility(big, "test", rows, shown, target).mean()
    labels = requests.clicks if target == "click" else requests.purchases
    found = labels.reshape(count, LENGTH).sum(axis=1)
    assert abs(found.mean() - expected) < 4 * found.std() / np.sqrt(count)
    assert (requests.purchases <= requests.clicks).all()


def test_the_search_world_is_the_one_that_was_designed():
    """Printed: logged .738, best sort .836, best order .974; .838, off: sort 1.067."""
    config = dataclasses.replace(SEARCH, test_count=2000)
    lists, rows, shown = of(config, 2000)
    sort = np.argsort(-lists.logits, axis=1)

    def mean(orders, config=config):
        return serp.true_utility(config, "test", rows, orders).mean()

    assert mean(shown) == pytest.approx(0.738, abs=0.01)
    assert mean(sort) == pytest.approx(0.836, abs=0.01)
    off = dataclasses.replace(config, list_effects=False)
    assert mean(sort, off) == pytest.approx(1.067, abs=0.01)
    assert 0.28 < lists.random.mean() < 0.32


def test_the_best_order_is_far_above_the_sort():
    lists, _, _ = of(dataclasses.replace(SEARCH, test_count=1000), 1000)

    def worth(orders):
        columns = (lists.logits, lists.price, lists.style)
        ordered = [np.take_along_axis(column, orders, axis=1) for column in columns]
        return serp.chances(SEARCH, *ordered)[0].sum(axis=1)

    orders = np.argsort(-lists.logits, axis=1)
    sort = values = worth(orders)
    for _ in range(6):  # best swaps of any two, until few lists gain
        found, best = orders.copy(), values.copy()
        for i, j in itertools.combinations(range(LENGTH), 2):
            swapped = orders.copy()
            swapped[:, [i, j]] = swapped[:, [j, i]]
            value = worth(swapped)
            found[value > best] = swapped[value > best]
            best = np.maximum(best, value)
        orders, values = found, best
    assert values.mean() == pytest.approx(0.974, abs=0.025)
    assert values.mean() > sort.mean() + 0.1


def test_without_list_effects_the_sort_is_best():
    config = dataclasses.replace(SEARCH, list_effects=False)
    lists, _, _ = of(config, 3)
    orders = np.array(list(itertools.permutations(range(LENGTH))))[::7]
    for row in range(3):
        rows = np.full(len(orders), row)
        best = serp.true_utility(config, "test", rows, orders).max()
        sort = np.argsort(-lists.logits[row])[None, :]
        assert serp.true_utility(config, "test", rows[:1], sort)[0] >= best


def test_the_fusion_world_has_scarce_purchases_and_misses_images():
    corpus = serp.make_corpus(dataclasses.replace(FUSION, test_count=4000))
    test = corpus.splits["test"]
    assert test.clicks.mean() == pytest.approx(0.27, abs=0.01)
    assert test.purchases.mean() == pytest.approx(0.07, abs=0.005)
    assert corpus.items.present["image"].mean() == pytest.approx(0.85, abs=0.01)
    assert corpus.items.present["text"].all()
    assert test.randomised.all() and (test.propensities == 1 / LENGTH).all()
    plenty = serp.make_corpus(dataclasses.replace(FUSION, scarce_purchases=False))
    labels = plenty.splits["test"]
    np.testing.assert_array_equal(labels.purchases, labels.clicks)


def correlate(config, told, where):
    """Of logits with what one part of the lists tells, where a mask of lists holds."""
    lists, _, _ = of(config, 3000)
    rows = where(lists)
    return np.corrcoef(told(lists)[rows].ravel(), lists.logits[rows].ravel())[0, 1]


def image(lists):
    return lists.told[:, :LENGTH, 1, 0]


def text(lists):
    return lists.told[:, :LENGTH, 0, 0]


def test_the_context_tells_which_modality_counts():
    visual, verbal = (lambda x: x.context > 0.5), (lambda x: x.context < -0.5)
    assert correlate(FUSION, image, visual) > 0.7
    assert correlate(FUSION, image, verbal) < 0.1
    assert correlate(FUSION, text, verbal) > 0.7
    assert correlate(FUSION, text, visual) < 0.1
    off = dataclasses.replace(FUSION, context_tells=False)
    assert abs(correlate(off, image, visual) - correlate(off, image, verbal)) < 0.15


def test_the_image_and_the_history_tell_something_where_they_are_to():
    everywhere = lambda lists: lists.context > -2
    assert correlate(FUSION, image, everywhere) > 0.4
    blind = dataclasses.replace(FUSION, image_tells=False)
    assert abs(correlate(blind, image, everywhere)) < 0.05

    def liked(lists):
        """Mean style of the history in the category, times the style."""
        same = lists.category[:, None, LENGTH:] == lists.category[:, :LENGTH, None]
        past = (same * lists.style[:, None, LENGTH:]).sum(axis=2)
        return past / np.maximum(same.sum(axis=2), 1) * lists.style[:, :LENGTH]

    assert correlate(FUSION, liked, everywhere) > 0.3
    strange = dataclasses.replace(FUSION, history_tells=False)
    assert abs(correlate(strange, liked, everywhere)) < 0.05


@pytest.mark.parametrize("config", [SEARCH, FUSION])
def test_a_list_depends_on_the_seed_and_its_number_alone(config):
    rows = np.array([1203, 7, 999, 1000])
    some = serp.draw(config, "train", rows)
    for name, values in vars(serp.draw(config, "train", np.arange(1300))).items():
        np.testing.assert_array_equal(getattr(some, name), values[rows], name)
    other = serp.draw(dataclasses.replace(config, seed=1), "train", rows)
    test = serp.draw(config, "test", rows)
    assert (some.price != other.price).all() and (some.price != test.price).all()


def test_the_corpus_shows_what_the_lists_say():
    corpus, (lists, _, _) = serp.make_corpus(FUSION), of(FUSION)
    items, test = corpus.items, corpus.splits["test"]
    numbers = test.items.reshape(-1, LENGTH)
    np.testing.assert_allclose(
        items.fields[numbers, 0], lists.price[:, :LENGTH], rtol=1e-6
    )
    # Two directions of the vectors tell the match and the style.
    for name, told in zip(
        ("text", "image"), np.moveaxis(lists.told, 2, 0), strict=True
    ):
        vectors = items.vectors[name][numbers].reshape(-1, 8)
        known = told[:, :LENGTH].reshape(-1, 2)
        solved = vectors @ np.linalg.lstsq(vectors, known, rcond=None)[0]
        assert np.corrcoef(solved[:, 0], known[:, 0])[0, 1] > 0.9
    past = test.history.reshape(-1, 6)
    np.testing.assert_array_equal(items.categories[past], lists.category[:, LENGTH:])
    assert len(np.unique(np.concatenate([numbers, past], axis=1))) == 400 * 14
    sizes = corpus.sizes
    assert (sizes.fields, sizes.context, sizes.length, sizes.history) == (1, 1, 8, 6)


def test_presets_have_sizes_of_their_own():
    assert SerpConfig().count("train") == 60_000
    assert SerpConfig(preset="fusion").count("train") == 4_000
    assert SerpConfig(preset="fusion", train_count=70).count("train") == 70


def test_real_products_lend_names_and_photos_and_nothing_else(tmp_path):
    rows = [
        (f"{k}.jpg" if k % 5 else "", kind, f"{kind} {k}")
        for kind in (*products.CATEGORIES, "Belts")
        for k in range(20)
    ]
    table = pd.DataFrame(rows, columns=["image", "sub_category", "name"])
    config = dataclasses.replace(FUSION, train_count=200)
    with pytest.raises(UserError, match=r"no products.csv.gz there"):
        serp.make_corpus(dataclasses.replace(config, products=str(tmp_path)))
    table.to_csv(tmp_path / "products.csv.gz", index=False)
    dressed = serp.make_corpus(dataclasses.replace(config, products=str(tmp_path)))
    plain = serp.make_corpus(config)
    items = dressed.items
    kinds = [title.split()[0] for title in items.titles]
    assert kinds == [items.category_names[c] for c in items.categories]
    for title, photo, there in zip(
        items.titles, items.photos, items.present["image"], strict=True
    ):
        assert photo == (f"{title.split()[1]}.jpg" if there else "")
    for name in ("text", "image"):
        np.testing.assert_array_equal(items.vectors[name], plain.items.vectors[name])
    np.testing.assert_array_equal(
        dressed.splits["test"].purchases, plain.splits["test"].purchases
    )
    table[table["sub_category"] != "Bags"].to_csv(tmp_path / "products.csv.gz")
    with pytest.raises(UserError, match="no product with a photo is of Bags"):
        serp.make_corpus(dataclasses.replace(config, products=str(tmp_path)))
