import dataclasses

import numpy as np
import pytest

from common.config.configs import replace
from common.errors import UserError
from common.tables.faults import Faults
from common.tables.table import from_rows
from common.text.encoder import TextEncoder
from rerank.config import Config, DataConfig
from rerank.corpus.corpus import Scaling
from rerank.corpus.request_files import (
    encode_requests,
    read_requests,
    split_requests,
)
from tests.rerank.stores import make_requests

IDS = np.array(["a", "b", "c", "7"])


def read(rows, changes=None, labels=True, **options):
    data = DataConfig(**options)
    config = replace(dataclasses.replace(Config(), data=data), changes or {})
    faults = Faults(from_rows(rows))
    requests = read_requests(faults, config, IDS, labels=labels)
    found = [(fault.line, fault.column, fault.reason) for fault in faults.rejections()]
    return requests, found


def row(request, item, click=0, **others):
    return {"request": request, "item": item, "click": click, **others}


def test_lists_are_put_together_in_the_order_shown():
    rows = [
        row("q", "a", 1, position=2, price=3),
        row("r", "c", position=0),
        row("q", "b", position=1),
        row("q", "7", 1, position=1),  # a tie: as the rows stand
    ]
    requests, rejected = read(rows)
    assert rejected == []
    assert requests.ids.tolist() == ["q", "r"]
    assert requests.starts.tolist() == [0, 3, 4]
    assert requests.items.tolist() == [1, 3, 0, 2]
    assert requests.clicks.tolist() == [0, 1, 1, 0]
    assert requests.purchases.tolist() == [0, 0, 0, 0]
    assert not requests.randomised.any() and requests.pins is None
    without, _ = read([{**r, "position": None} for r in rows], position="none")
    assert without.items.tolist() == [0, 1, 3, 2]


def test_all_columns():
    shared = {"query": "red hat", "time": "2020-01-01", "history": "c| b|z|a|7.0"}
    other = {"query": "coat", "time": "2020-01-02", "history": None}
    rows = [
        row(
            "q", "a", 1, purchase=4, propensity=1, m=1.5, age=3, randomised=1, **shared
        ),
        row("q", "b", 1, purchase=1, propensity=0.5, age=3, randomised=1, **shared),
        row("r", "c", 0, purchase=0, propensity=0.1, m=2, randomised=0, **other),
    ]
    requests, rejected = read(rows, features=("m",), context=("age",), max_history=3)
    assert rejected == []
    # Grades over the largest one.
    assert requests.purchases.tolist() == [1, 0.25, 0]
    np.testing.assert_allclose(requests.propensities, [1, 0.5, 0.1])
    np.testing.assert_array_equal(requests.pair_features, [[1.5], [np.nan], [2]])
    np.testing.assert_array_equal(requests.context, [[3], [np.nan]])
    assert requests.randomised.tolist() == [True, False]
    assert requests.queries.tolist() == ["red hat", "coat"]
    assert np.diff(requests.times).tolist() == [86400]
    # Unknown z is left out; of c, b, a, 7 the newest three.
    assert requests.history.tolist() == [1, 0, 3]
    assert requests.history_starts.tolist() == [0, 3, 3]


def test_clicks_are_told_by_purchases_where_they_have_no_column():
    rows = [{"request": "q", "item": i, "purchase": p} for i, p in (("a", 2), ("b", 0))]
    assert read(rows)[0].clicks.tolist() == [1, 0]
    with pytest.raises(UserError, match="neither a column 'click' nor 'purchase'"):
        read([{"request": "q", "item": "a"}])


@pytest.mark.parametrize(
    ("change", "column", "words"),
    [
        ({"request": None}, "request", "an empty cell"),
        ({"item": None}, "item", "an empty cell"),
        ({"item": "z"}, "item", "unknown item 'z'"),
        ({"item": "a"}, "item", "stands in the list already"),
        ({"click": 2}, "click", "neither 0 nor 1"),
        ({"click": None}, "click", "an empty cell where 0 or 1"),
        ({"click": "yes"}, "click", "'yes' is not a number"),
        ({"purchase": -1}, "purchase", "below 0"),
        ({"purchase": None}, "purchase", "an empty cell where a purchase"),
        ({"propensity": 0}, "propensity", "not in (0, 1]"),
        ({"propensity": 1.5}, "propensity", "not in (0, 1]"),
        ({"propensity": None}, "propensity", "an empty cell"),
        ({"position": None}, "position", "an empty cell where a place"),
        ({"pin": 0}, "pin", "no place"),
        ({"pin": 1.5}, "pin", "no place"),
        ({"m": "1,5"}, "m", "decimal comma"),
        ({"age": 4}, "age", "differs from the first row of its request"),
        ({"query": "hat"}, "query", "differs from the first row"),
        ({"time": "noon"}, "time", "is no date"),
        ({"time": "2021-01-01"}, "time", "differs from the first row"),
        ({"history": "a"}, "history", "differs from the first row"),
        ({"randomised": 2}, "randomised", "neither 0 nor 1"),
    ],
)
def test_a_faulty_row_is_rejected_and_its_list_closes_up(change, column, words):
    good = {
        "click": 0,
        "purchase": 1,
        "propensity": 0.5,
        "position": 1,
        "pin": 2,
        "m": 1,
        "age": 3,
        "query": "coat",
        "time": "2020-01-01",
        "history": "b",
        "randomised": 0,
    }
    rows = [{"request": "q", "item": item, **good} for item in "abc"]
    rows[2]["pin"] = None
    rows[1] |= change
    requests, (fault,) = read(
        rows, {"search.pinned": "pin"}, features=("m",), context=("age",)
    )
    assert fault[:2] == (2, column) and words in fault[2]
    assert requests.items.tolist() == [0, 2]
    assert requests.pins.tolist() == [1, -1]


def test_pins_that_no_order_can_keep_are_refused():
    rows = [row("q", item, pin=pin) for item, pin in (("a", 3), ("b", None))]
    with pytest.raises(UserError, match="request 'q': .* place 3 of 2"):
        read(rows, {"search.pinned": "pin"})


def test_a_list_that_is_too_long_is_rejected_whole():
    rows = [row("q", item) for item in IDS] + [row("r", "a")]
    requests, rejected = read(rows, max_length=3)
    assert requests.ids.tolist() == ["r"]
    assert [line for line, _, _ in rejected] == [1, 2, 3, 4]
    assert "more than 3 items" in rejected[0][2]
    # Rows that are rejected make a list no longer.
    rows[3]["item"] = "z"
    assert read(rows, max_length=3)[0].ids.tolist() == ["q", "r"]


def test_a_request_without_a_good_row_is_gone():
    requests, rejected = read([row("q", "z"), row("r", "a")])
    assert requests.ids.tolist() == ["r"] and len(rejected) == 1
    none, _ = read([row("q", "z")])
    assert len(none) == 0 and none.starts.tolist() == [0]


def test_requests_to_predict_need_no_labels():
    rows = [{"request": "q", "item": "a", "click": "whatever"}]
    requests, rejected = read(rows, labels=False)
    assert rejected == [] and not requests.labelled and requests.propensities is None


def test_queries_become_words():
    rows = [row("q", "a", query="red hat"), row("r", "a", query=None)]
    requests, _ = read(rows, context=())
    empty = np.zeros((1, 0))
    scaling = Scaling.fit({"pair_features": empty, "context": empty})
    encoder = TextEncoder.fit(["red hat", "red"])
    encoded = encode_requests(requests, scaling, encoder)
    expected = encoder.encode(["red hat", ""])
    np.testing.assert_array_equal(encoded.words.ids, expected["ids"])
    np.testing.assert_array_equal(encoded.words.weights, expected["weights"])


def many(count=300, **changes):
    return make_requests(((0,),) * count, ((),) * count, **changes)


def test_a_query_stays_on_one_side():
    """However it is spelt; queries that differ in a number are not the same."""
    words = [f"{('Hat', ' hat')[n % 2]}  no {n % 16}" for n in range(300)]
    requests = many(queries=np.array(words))
    parts = split_requests(requests, DataConfig(split_fractions=(0.5, 0.25, 0.25)))
    assert sorted(np.concatenate(list(parts.values()))) == list(range(300))
    found = [{q.split()[-1] for q in requests.queries[rows]} for rows in parts.values()]
    assert sum(map(len, found)) == 16 and all(found)


def test_requests_without_a_query_are_split_by_their_ids():
    parts = split_requests(many(queries=np.array([""] * 300)), DataConfig())
    alone = split_requests(many(), DataConfig())
    for name, rows in parts.items():
        np.testing.assert_array_equal(rows, alone[name])


def test_requests_are_split_by_a_hash_of_their_ids():
    rows = split_requests(many(), DataConfig())
    shares = [len(part) / 300 for part in rows.values()]
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.05)
    turned = many(ids=np.array([f"r{n}" for n in range(300)])[::-1])
    again = split_requests(turned, DataConfig())
    assert sorted(299 - again["test"]) == sorted(rows["test"])
    other = split_requests(many(), DataConfig(split_seed=1))
    assert set(other["test"]) != set(rows["test"])


def test_an_empty_split_is_refused():
    with pytest.raises(UserError, match="the train split of 2 requests is empty"):
        split_requests(many(2), DataConfig(split_fractions=(0.001, 0.998, 0.001)))
    with pytest.raises(UserError, match="three shares above 0 that sum to 1"):
        split_requests(many(2), DataConfig(split_fractions=(0.8, 0.1, 0.2)))


def test_requests_are_split_along_time():
    times = np.random.default_rng(0).permutation(300).astype(float)
    rows = split_requests(many(times=times), DataConfig(split="time"))
    assert times[rows["train"]].max() < times[rows["validation"]].min()
    assert times[rows["validation"]].max() < times[rows["test"]].min()
    with pytest.raises(UserError, match="no 'time'"):
        split_requests(many(), DataConfig(split="time"))
