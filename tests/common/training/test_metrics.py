import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.parallel.devices import Devices
from common.training import metrics


def test_padded_rows_do_not_count_whatever_they_hold():
    values = jnp.array([1.0, 3.0, jnp.nan, jnp.inf])
    total, weight = metrics.weighted(values, jnp.array([1.0, 1.0, 0.0, 0.0]))
    assert (float(total), float(weight)) == (4.0, 2.0)


def test_rows_of_arrays():
    total, weight = metrics.weighted(jnp.array([[1.0, 2], [3, 4]]), jnp.array([0, 1]))
    assert total.tolist() == [3.0, 4.0]
    assert float(weight) == 1.0


def test_low_precision_is_summed_in_float32():
    values = jnp.ones(1000, jnp.bfloat16)
    total, weight = metrics.weighted(values)
    assert (float(total), float(weight)) == (1000.0, 1000.0)


def test_devices_add_up():
    values = np.arange(8.0).reshape(4, 2)
    mask = np.array([[1, 1], [1, 0], [0, 0], [1, 1]], np.float32)
    pair = jax.pmap(
        lambda v, m: metrics.weighted(v, m, Devices("data")),
        axis_name="data",
        devices=jax.devices()[:4],
    )(values, mask)
    assert pair[0].tolist() == [0 + 1 + 2 + 6 + 7.0] * 4
    assert pair[1].tolist() == [5.0] * 4


@settings(max_examples=30)
@given(
    st.lists(
        st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=5, max_size=5
    )
)
def test_rank_agrees_with_a_stable_sort(rows):
    logits = np.array(rows, np.float32)
    labels = np.array([0, 1, 2, 3, 1])
    order = np.argsort(-logits, axis=1, kind="stable")
    expected = [list(order[i]).index(labels[i]) for i in range(5)]
    assert metrics.label_rank(jnp.array(logits), jnp.array(labels)).tolist() == expected


def test_not_a_number_is_never_a_hit():
    logits = jnp.array([[jnp.nan, 1.0, 2.0], [3.0, 2.0, jnp.nan]])
    labels = jnp.array([0, 0])
    found = metrics.top_k(logits, labels, (1, 3))
    assert [float(total) for total, _ in found.values()] == [0.0, 0.0]


def test_top_k():
    logits = jnp.array([[5.0, 4, 3], [5, 4, 3], [5, 4, 3], [5, 4, 3]])
    labels = jnp.array([0, 1, 2, 0])
    found = metrics.top_k(logits, labels, (1, 2), jnp.array([1.0, 1, 1, 0]))
    assert {k: (float(t), float(w)) for k, (t, w) in found.items()} == {
        "top1": (1.0, 3.0),
        "top2": (2.0, 3.0),
    }


def test_confusion_has_the_true_class_by_row():
    counts = metrics.confusion(
        jnp.array([0, 2, 2, 1]), jnp.array([0, 0, 2, 2]), 3, jnp.array([1.0, 1, 1, 0])
    )
    assert counts.tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 1]]


def test_sums_add_in_float64():
    sums = metrics.Sums()
    for _ in range(3):
        sums.add({"loss": (jnp.float32(2**24), jnp.float32(1))})
    sums.add({"loss": (jnp.float32(1), jnp.float32(1))})
    assert sums.totals()["loss"] == (3 * 2**24 + 1, 4.0)


def test_means():
    sums = metrics.Sums()
    sums.add(
        {"a": (np.float32(3), np.float32(2)), "none": (np.float32(0), np.float32(0))}
    )
    sums.add(
        {"a": (np.float32(1), np.float32(2)), "none": (np.float32(0), np.float32(0))}
    )
    sums.add({"rows": (np.array([2.0, 4.0]), np.float32(2))})
    means = sums.means()
    assert means["a"] == 1.0
    assert np.isnan(means["none"])
    np.testing.assert_array_equal(means["rows"], [1.0, 2.0])


def test_each_entry_of_an_array_may_have_its_own_weight():
    sums = metrics.Sums()
    sums.add({"error": (np.array([2.0, 0.0, 3.0]), np.array([4.0, 0.0, 1.0]))})
    np.testing.assert_array_equal(sums.means()["error"], [0.5, np.nan, 3.0])


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40),
    st.integers(0, 40),
)
def test_cutting_a_window_changes_no_bit(values, cut):
    pairs = [{"loss": (np.float32(v), np.float32(1))} for v in values]
    whole, first = metrics.Sums(), metrics.Sums()
    for pair in pairs:
        whole.add(pair)
    for pair in pairs[:cut]:
        first.add(pair)
    second = metrics.Sums.from_json(json.loads(json.dumps(first.to_json())))
    for pair in pairs[cut:]:
        second.add(pair)
    assert second.to_json() == whole.to_json()


def test_sum_over_batches():
    def eval_step(state, batch):
        return {"x": (state * batch.sum(), np.float32(len(batch)))}

    batches = [np.array([1.0, 2.0]), np.array([3.0])]
    assert metrics.sum_over(eval_step, 2.0, batches).means() == {
        "x": pytest.approx(4.0)
    }
