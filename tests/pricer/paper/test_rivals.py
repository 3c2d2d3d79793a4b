import numpy as np
import pytest

from pricer.paper import rivals
from pricer.paper.rivals import Columns
from tests.pricer.test_heads import make_heads

SETTINGS = {"learning_rate": 0.1, "num_leaves": 8, "min_data_in_leaf": 20}
SPLITS = {"train": 3000, "validation": 1000, "test": 2000}


@pytest.fixture(name="columns", scope="module")
def some_columns():
    """Column 0 doubles the price, column 1 says whether it is known to 0.1 or to 1."""
    rng = np.random.default_rng(0)
    count = sum(SPLITS.values())
    values = rng.normal(size=(count, 3)).astype(np.float32)
    spread = np.where(values[:, 1] > 0, 0.1, 1.0)
    prices = np.log(2) * (values[:, 0] > 0) + spread * rng.normal(size=count)
    ends = np.cumsum([0, *SPLITS.values()])
    rows = {s: np.arange(a, b) for s, a, b in zip(SPLITS, ends, ends[1:], strict=False)}
    return Columns(values, prices, rows)


def test_boosting_keeps_the_items_whose_price_is_known(columns):
    found = rivals.evaluate(columns, SETTINGS, seed=0, share=0.5, level=0.9, band=0.1)
    # E|N(0, s)| = s sqrt(2 / pi): .080 where the price is known, .798 elsewhere.
    assert found["test/male_at_30"] == pytest.approx(0.080, abs=0.012)
    assert found["test/male_all"] == pytest.approx((0.080 + 0.798) / 2, abs=0.03)
    assert found["test/acceptance"] == pytest.approx(0.5, abs=0.03)
    assert found["test/male"] == pytest.approx(0.080, abs=0.03)
    assert not any(name.endswith("_at_half") for name in found)


@pytest.mark.parametrize("inputs", ["all", "statistics"])
def test_boosting_sees_what_the_heads_see(inputs, tmp_path):
    made = make_heads(tmp_path, model__inputs=inputs)
    test = np.array([43, 60])
    found = rivals.columns_of(made, test)
    expected = made.rows.statistics[test]
    if inputs == "all":
        expected = np.hstack([made.rows.features.rows(test), expected])
    np.testing.assert_array_equal(found.values[found.rows["test"]], expected)
    np.testing.assert_array_equal(
        found.log_prices[found.rows["test"]], made.rows.log_prices[test]
    )
    assert [len(found.rows[split]) for split in SPLITS] == [43, 18, 2]


def test_errors_are_of_rows_that_were_not_seen(columns):
    """Boosters of one leaf a row know their training rows by heart."""
    rng = np.random.default_rng(1)
    noise = Columns(columns.values, rng.normal(size=len(columns.values)), columns.rows)
    settings = {"learning_rate": 0.5, "num_leaves": 256, "min_data_in_leaf": 1}
    train = columns.rows["train"]
    found = rivals._unseen_predictions(noise, settings, 0)
    apart = noise.log_prices[train] - found[train]
    assert np.mean(apart**2) > 0.9  # of a variance of 1
    assert not found[columns.rows["test"]].any()


def test_the_search_lowers_the_validation_error(columns):
    best = rivals.search(columns, trials=3, seed=0)
    assert set(best) >= {"learning_rate", "num_leaves", "lambda_l2"}
