import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from ican import zones

PAPER = zones.Zones(zones.even_edges(180, 900, 45))


def test_paper_zones_are_those_of_table_2():
    assert PAPER.edges == (
        *(180, 225, 270, 315, 360, 405, 450, 495, 540),
        *(585, 630, 675, 720, 765, 810, 855, 900),
    )
    assert PAPER.count == 18
    assert PAPER.names()[0] == "-180"
    assert PAPER.names()[9] == "540-585"
    assert PAPER.names()[17] == "900-"
    large = zones.Zones((0.01, 949_000.0, 999_999.7, 1_450_000.0)).names()
    assert large == [
        "-0.01",
        "0.01-949000",
        "949000-1000000",
        "1000000-1450000",
        "1450000-",
    ]


def test_label_counts_the_edges_at_or_below_the_price():
    prices = np.array([0.5, 179.99, 180, 224.99, 225, 427.5, 899.99, 900, 5000])
    assert PAPER.label(prices).tolist() == [0, 0, 1, 1, 2, 6, 16, 17, 17]
    assert PAPER.label(prices).dtype == np.int32


def test_centres_are_the_middles_of_the_zones():
    expected = [157.5 + 45 * j for j in range(18)]
    np.testing.assert_allclose(PAPER.centres(), expected)
    assert PAPER.label(PAPER.centres()).tolist() == list(range(18))


def test_centre_of_a_wide_first_step_stays_positive():
    wide = zones.Zones((10.0, 100.0, 1000.0))
    # Half a zone below the first edge would be 10 - 45 = -35.
    np.testing.assert_allclose(wide.centres(), [5.0, 55.0, 550.0, 1450.0])


def test_even_coordinate_is_an_affine_map_of_the_price():
    prices = np.array([1.0, 180.0, 427.5, 900.0, 1300.0])
    expected = (prices - 180) / 45
    np.testing.assert_allclose(PAPER.coordinate(prices), expected, atol=1e-12)


def test_uneven_coordinate_by_hand():
    uneven = zones.Zones((100.0, 200.0, 500.0))
    # 350 is half of the way from 200 to 500; 650 is half of 300 above 500.
    coordinate = uneven.coordinate(np.array([50.0, 100.0, 350.0, 500.0, 650.0]))
    np.testing.assert_allclose(coordinate, [-0.5, 0.0, 1.5, 2.0, 2.5])
    inside = zones.Zones((100.0, 200.0, 800.0), log_inside=True)
    # 400 is half of the way from 200 to 800 in the log; 50 is one halving below 100.
    coordinate = inside.coordinate(np.array([50.0, 400.0, 1600.0]))
    np.testing.assert_allclose(coordinate, [-1.0, 1.5, 2.5])


@st.composite
def any_zones(draw):
    steps = draw(st.lists(st.floats(0.01, 1e3), min_size=2, max_size=20))
    start = draw(st.floats(0.1, 1e3))
    edges = tuple((start + np.cumsum([0.0, *steps])).tolist())
    return zones.Zones(edges, draw(st.booleans()))


@given(any_zones(), st.lists(st.floats(1e-2, 1e5), min_size=1, max_size=10))
def test_coordinate_agrees_with_the_label_and_has_an_inverse(fitted, prices):
    prices = np.array(prices)
    coordinate = fitted.coordinate(prices)
    # Floor of the coordinate, clipped to the open ends, is the label.
    floor = np.clip(np.floor(coordinate + 1e-9) + 1, 0, fitted.count - 1)
    ceil = np.clip(np.floor(coordinate - 1e-9) + 1, 0, fitted.count - 1)
    labels = fitted.label(prices)
    assert np.all((labels == floor) | (labels == ceil))
    np.testing.assert_allclose(fitted.price(coordinate), prices, rtol=1e-7, atol=1e-7)
    at_edges = fitted.coordinate(np.array(fitted.edges))
    assert at_edges.tolist() == list(range(fitted.count - 1))


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=200),
    st.integers(3, 18),
)
def test_quantile_zones_all_hold_a_price(prices, count):
    prices = np.array(prices, float)
    if len(np.unique(prices)) < count:
        with pytest.raises(UserError, match="distinct training prices"):
            zones.quantile_edges(prices, count)
        return
    fitted = zones.Zones(zones.quantile_edges(prices, count))
    counts = np.bincount(fitted.label(prices), minlength=count)
    assert np.all(counts > 0)


def test_quantile_zones_without_ties_are_equal_shares():
    prices = np.random.default_rng(0).permutation(np.arange(1, 901)) * 1.5
    fitted = zones.fit(zones.ZonesConfig(kind="quantile", count=18), prices)
    assert np.bincount(fitted.label(prices)).tolist() == [50] * 18


def test_json_round_trip():
    fitted = zones.fit(zones.ZonesConfig(log_inside=True), np.geomspace(20, 2000, 99))
    text = json.dumps(fitted.to_dict())
    assert zones.Zones.from_dict(json.loads(text)) == fitted


def test_mistakes_are_user_errors():
    with pytest.raises(UserError, match="strictly increasing"):
        zones.Zones((1.0, 1.0, 2.0))
    with pytest.raises(UserError, match="above 0"):
        zones.Zones((0.0, 1.0))
    with pytest.raises(UserError, match="divide the range"):
        zones.even_edges(180, 900, 50)
    with pytest.raises(UserError, match="divide the range"):
        zones.even_edges(180, 900, 0)
    with pytest.raises(UserError, match="positive number"):
        PAPER.coordinate(np.array([3.0, np.nan]))
    with pytest.raises(UserError, match="positive training prices"):
        zones.fit(zones.ZonesConfig(), np.array([]))
