import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from rerank.corpus.requests import spread
from tests.rerank.stores import make_requests, words_of


def test_select_takes_lists_histories_and_words():
    words = words_of(["red", "hat", "", "coat"])
    pins = np.array([-1, 0, -1, -1, 1, -1], np.int32)
    requests = make_requests(words=words, pins=pins)
    some = requests.select(np.array([3, 0]))
    assert some.ids.tolist() == ["r3", "r0"]
    assert some.starts.tolist() == [0, 2, 5]
    assert some.items.tolist() == [3, 0, 0, 1, 2]
    assert some.pair_features[:, 0].tolist() == [4, 5, 0, 1, 2]
    assert some.pins.tolist() == [1, -1, -1, 0, -1]
    assert some.history.tolist() == [0, 1, 4]
    assert some.history_starts.tolist() == [0, 3, 3]
    assert some.propensities is None
    np.testing.assert_array_equal(some.words.ids, words.ids[[3, 0]])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.data())
def test_spread_is_the_loop(lengths, data):
    starts = np.cumsum([0, *lengths])
    rows = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=8))
    places, found = spread(starts, np.array(rows, np.int64))
    expected = [np.arange(starts[r], starts[r + 1]) for r in rows]
    assert places.tolist() == [p for each in expected for p in each]
    assert found.tolist() == np.cumsum([0, *map(len, expected)]).tolist()


def test_pad_fills_up_lists():
    requests = make_requests()
    assert requests.pad(requests.items, none=-1).tolist() == [
        [0, 1, 2],
        [4, -1, -1],
        [-1, -1, -1],
        [3, 0, -1],
    ]
    assert requests.pad(requests.pair_features, 4).shape == (4, 4, 1)


def test_places_are_counted_in_each_list():
    assert make_requests().places.tolist() == [0, 1, 2, 0, 0, 1]


def test_pins_that_no_order_can_keep_are_refused():
    def check(*pins):
        make_requests(pins=np.array([-1, -1, -1, -1, *pins], np.int32)).check_pins()

    check(1, 0)
    with pytest.raises(UserError, match="request 'r3': .* pinned to place 3 of 2"):
        check(2, -1)
    with pytest.raises(UserError, match="2 items are pinned to place 1"):
        check(0, 0)
    make_requests().check_pins()


def test_gains_are_purchases_or_clicks():
    requests = make_requests()
    assert requests.gains is requests.purchases
    none = make_requests(purchases=np.zeros(6, np.float32))
    assert none.gains is none.clicks
    assert requests.labelled and not make_requests(labels=False).labelled
