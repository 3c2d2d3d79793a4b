import dataclasses

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.tables.schema import Group
from pricer import comparables, data
from pricer.generated import bazaar
from pricer.inputs.history import PriceHistory
from pricer.inputs.sales import Sales


@pytest.fixture(scope="module")
def examples(shop):
    config = shop.config(prices__trim=0.1)
    return data.make_examples(config, data.load_listings(config))


def test_outliers_of_the_training_rows_are_left_out_everywhere(examples, shop):
    prices = np.log(shop.table["price"].to_numpy())
    train = np.sort(prices[(shop.table["split"] == "train").to_numpy()])
    # floor(97 * 0.1 / 2) = 4 at each end.
    assert (examples.limits.low, examples.limits.high) == (train[4], train[-5])
    assert len(examples.rows("train")) == 97 - 8
    assert len(examples.rows("train", whole=True)) == 97
    kept = (prices >= train[4]) & (prices <= train[-5])
    np.testing.assert_array_equal(examples.kept, kept)
    test = np.flatnonzero((shop.table["split"] == "test").to_numpy())
    np.testing.assert_array_equal(examples.rows("test"), test[kept[test]])


def test_statistics_are_of_kept_training_rows_sold_before(examples, shop):
    table = shop.table
    train = examples.rows("train")
    times = pd.to_datetime(table["sold_at"]).astype("int64").to_numpy() / 1e9
    logs = np.log(table["price"].to_numpy())

    def of(column, rows):
        cells = table[column].astype(object).where(table[column].notna(), None)
        return cells.to_numpy()[rows]

    history, of_train = PriceHistory.fit(
        logs[train], of("category", train), of("seller", train), times[train]
    )
    np.testing.assert_allclose(examples.context.statistics[train], of_train, atol=1e-5)
    test = examples.rows("test")
    sales = Sales(logs[train], of("category", train), of("seller", train), times[train])
    expected = history.features(
        of("category", test), of("seller", test), times[test], sales=sales
    )
    np.testing.assert_allclose(examples.context.statistics[test], expected, atol=1e-5)
    assert examples.context.statistics.shape == (149, 14)


def test_an_own_price_is_not_in_the_own_statistics(shop):
    """Doubling the price of the last training sale changes no feature of it."""
    config = shop.config(prices__trim=0.0)
    listings = data.load_listings(config)
    train = listings.indices("train")
    last = train[np.argmax(listings.frame["sold_at"].to_numpy(float)[train])]
    found = []
    for factor in (1.0, 1.01):
        frame = listings.frame.copy()
        frame.loc[last, "price"] *= factor
        changed = dataclasses.replace(listings, frame=frame)
        found.append(data.make_examples(config, changed).context.statistics[last])
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


def test_the_paper_has_twelve_and_none_is_possible(shop):
    listings = data.load_listings(shop.config())
    for width, changes in (
        (12, {"statistics__counts": False}),
        (0, {"statistics__use": False}),
    ):
        config = shop.config(**changes)
        assert data.make_examples(config, listings).context.statistics.shape == (
            149,
            width,
        )


def test_what_is_learnt_of_a_price(shop):
    prices = shop.table["price"].to_numpy()
    for transform, wanted in (("log", np.log(prices)), ("log1p", np.log1p(prices))):
        config = shop.config(prices__transform=transform)
        examples = data.make_examples(config, data.load_listings(config))
        np.testing.assert_allclose(examples.log_prices, wanted, rtol=1e-6)


def test_a_table_without_prices_photos_or_seller_is_told(shop):
    config = shop.config()
    listings = data.load_listings(config)
    schema = dataclasses.replace(listings.schema, target=None)
    with pytest.raises(UserError, match="names no target"):
        data.make_examples(config, dataclasses.replace(listings, schema=schema))
    schema = dataclasses.replace(listings.schema, images=None)
    with pytest.raises(UserError, match="names no photos"):
        data.make_examples(config, dataclasses.replace(listings, schema=schema))
    with pytest.raises(UserError, match="--labels.seller=shop: the schema has no such"):
        data.make_examples(shop.config(labels__seller="shop"), listings)


def test_without_seller_and_time_their_statistics_are_blank(shop):
    config = shop.config(labels__seller="", statistics__bins=0)
    listings = data.load_listings(config)
    schema = dataclasses.replace(listings.schema, time=None)
    examples = data.make_examples(config, dataclasses.replace(listings, schema=schema))
    names = examples.history.names
    seller = [index for index, name in enumerate(names) if name.startswith("seller")]
    assert not any(name.startswith("seller") for name in examples.history.available)
    assert len(set(map(tuple, examples.context.statistics[:, seller]))) == 1


def test_groups_of_training_rows_are_those_of_the_split(examples, shop):
    """Nothing groups the bazaar but its photos, all different; then its categories."""
    train, groups = examples.listings.indices("train"), examples.context.groups
    assert len(set(groups[train])) == len(train) and (groups[train] >= 0).all()
    others = np.setdiff1d(np.arange(149), train)
    assert (groups[others] == comparables.NO_GROUP).all()
    schema = dataclasses.replace(examples.listings.schema, group=Group(("category",)))
    listings = dataclasses.replace(examples.listings, schema=schema)
    config = shop.config(comparables__count=1)
    found = data.make_examples(config, listings).context.groups[train]
    categories = listings.frame["category"].iloc[train]
    known = categories.notna().to_numpy()
    sizes = pd.Series(found[known]).groupby(categories[known].to_numpy()).nunique()
    assert (sizes == 1).all() and len(sizes) < known.sum()
    unused = shop.config(comparables__count=0)
    found = data.make_examples(unused, examples.listings)
    assert (found.context.groups == comparables.NO_GROUP).all()
    # Known before any network is trained.
    with pytest.raises(UserError, match="--comparables.count=100: .* training items"):
        data.make_examples(shop.config(comparables__count=100), examples.listings)


def test_fine_pieces_without_times_would_show_a_row_its_own_price(shop):
    config = shop.config()
    listings = data.load_listings(config)
    schema = dataclasses.replace(listings.schema, time=None)
    undated = dataclasses.replace(listings, schema=schema)
    with pytest.raises(UserError, match="--statistics.bins=3: .* no times of sale"):
        data.make_examples(config, undated)
    unused = shop.config(statistics__use=False)
    assert data.make_examples(unused, undated).context.statistics.shape[1] == 0


def test_the_bazaar_is_drawn_where_no_path_is_given(shop, tmp_path):
    config = shop.config(
        data__path="",
        data__cache=str(tmp_path),
        bazaar__train_count=5,
        bazaar__validation_count=2,
        bazaar__test_count=3,
        bazaar__pixels=24,
    )
    listings = data.load_listings(config)
    counts = [len(listings.indices(s)) for s in ("train", "validation", "test")]
    assert counts == [5, 2, 3]
    schema = bazaar.schema()
    target = dataclasses.replace(schema.target, decimal=".")  # of numbers in Python
    assert listings.schema == dataclasses.replace(schema, target=target)
