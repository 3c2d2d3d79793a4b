"""What must hold of every network, whatever its weights."""

import functools

import jax
import numpy as np
import pytest

from rerank.config import LISTWISE, POINTWISE, Modality, Sizes
from tests.rerank.by_hand import (
    LENGTHS,
    SIZES,
    draw_state,
    make_batch,
    make_learner,
    spoil,
)

BATCH = make_batch()
MASK = BATCH["mask"]


@functools.cache
def network(phase=LISTWISE, **changes):
    """(learner, parameters, compiled forward pass)."""
    learner = make_learner(phase, **changes)
    return learner, draw_state(learner).params, jax.jit(learner._apply)


def forward(batch, phase=LISTWISE, **changes):
    _, params, apply = network(phase, **changes)
    return jax.tree.map(np.asarray, apply(params, batch))


VARIANTS = [
    {},
    {"phase": POINTWISE},
    {"model__fusion": "concat"},
    {"model__name": "prm"},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_padding_and_masked_modalities_change_no_bit(variant):
    seen, again = forward(BATCH, **variant), forward(spoil(BATCH), **variant)
    assert len(jax.tree.leaves(seen)) >= 2
    jax.tree.map(np.testing.assert_array_equal, seen, again)
    assert np.all(np.isfinite(seen.logits)) and np.any(seen.logits[MASK])
    assert not np.any(seen.logits[~MASK])


def test_a_longer_bucket_changes_no_real_place():
    longer = make_batch(places=9)
    batch = {
        name: np.concatenate([array, longer[name][:, 6:]], axis=1)
        if array.shape[1:2] == (6,)
        else array
        for name, array in BATCH.items()
    }
    seen, again = forward(BATCH).logits, forward(batch).logits
    np.testing.assert_allclose(again[:, :6], seen, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_list_is_scored_as_if_it_were_alone(length):
    row = LENGTHS.index(length)
    turned = {name: np.roll(array, 2, axis=0) for name, array in BATCH.items()}
    seen, again = forward(BATCH), forward(turned)
    np.testing.assert_allclose(
        again.logits[(row + 2) % 5], seen.logits[row], rtol=1e-4, atol=1e-5
    )


PERMUTATION = np.array([3, 0, 2, 1])  # of list 3, which has four candidates


def permuted(batch):
    """The candidates of list 3 in another order."""
    order = np.tile(np.arange(6), (5, 1))
    order[3, :4] = PERMUTATION
    names = ("fields", "category", "present", "text_ids", "text_weights", "image")
    rows = np.arange(5)[:, None]
    return {
        name: array[rows, order] if name in names else array
        for name, array in batch.items()
    }


@pytest.mark.parametrize(
    "variant",
    [{"model__name": "setrank"}, {"model__name": "mlp"}],
    ids=str,
)
def test_without_places_scores_go_with_the_candidates(variant):
    seen, again = forward(BATCH, **variant), forward(permuted(BATCH), **variant)
    np.testing.assert_allclose(
        again.logits[3, :4], seen.logits[3, PERMUTATION], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("phase", [POINTWISE, LISTWISE])
def test_scores_go_with_the_candidates_once_places_are_zeroed(phase):
    _, params, apply = network(phase)
    zeros = np.zeros_like(params["scorer"]["positions"])
    placeless = {**params, "scorer": {**params["scorer"], "positions": zeros}}
    seen, again = (apply(placeless, b).logits for b in (BATCH, permuted(BATCH)))
    expected = np.asarray(seen)[3, PERMUTATION]
    np.testing.assert_allclose(again[3, :4], expected, rtol=1e-4, atol=1e-5)
    moved = forward(permuted(BATCH), phase).logits[3, :4]
    kept = forward(BATCH, phase).logits[3, PERMUTATION]
    assert np.abs(moved - kept).max() > 1e-3  # with places they do not


def test_scoring_an_order_is_scoring_the_list_shown_in_that_order():
    learner, params, _ = network()
    items = forward(BATCH).encoded.items
    order = np.tile(np.arange(6), (5, 1))
    order[3, :4] = PERMUTATION
    gathered = items[np.arange(5)[:, None], order]
    scored = jax.jit(learner.score)(params, gathered, MASK)
    expected = forward(permuted(BATCH)).logits
    np.testing.assert_allclose(scored, expected, rtol=1e-4, atol=1e-5)


def test_the_list_wise_network_sees_the_other_candidates_the_pointwise_does_not():
    other = {**BATCH, "fields": BATCH["fields"].copy()}
    other["fields"][0, 5] += 2.0
    for phase in (LISTWISE, POINTWISE):
        apart = forward(other, phase).logits - forward(BATCH, phase).logits
        assert np.any(apart[0, :5]) == (phase == LISTWISE)
        assert np.any(apart[0, 5])


def test_weights_of_modalities_and_history_are_shares_of_what_is_there():
    encoded = forward(BATCH).encoded
    fusion, history = encoded.fusion_weights, encoded.history_weights
    there = BATCH["present"] & MASK[..., None]
    np.testing.assert_allclose(fusion[:, :, 0].sum(-1), there.any(-1), atol=1e-6)
    assert not np.any(fusion[:, :, 0][~there])
    np.testing.assert_allclose(fusion[:, :, 1].sum(-1), MASK, atol=1e-6)
    keep = (
        MASK[:, :, None, None]
        & (BATCH["category"][:, :, None] == BATCH["history_category"][:, None])[
            ..., None
        ]
        & (BATCH["history_present"] & BATCH["history_mask"][..., None])[:, None]
    )
    assert not np.any(history[~keep])
    np.testing.assert_allclose(history.sum(2), keep.any(2), atol=1e-6)


def test_without_history_the_learned_vector_stands_in():
    """List 0 has no history: other weights of the attention change nothing."""
    _, params, apply = network()
    seen = forward(BATCH).logits
    doubled = dict(params)
    for name in ("attention_0", "attention_1"):
        part = {k: jax.tree.map(lambda x: 2 * x, v) for k, v in params[name].items()}
        doubled[name] = {**part, "empty": params[name]["empty"]}
    again = np.asarray(apply(doubled, BATCH).logits)
    np.testing.assert_array_equal(again[0], seen[0])
    assert np.any(again[3] != seen[3])


def test_the_click_task_reads_the_multimodal_vectors_alone():
    other = {**BATCH, "fields": BATCH["fields"] + 1}
    seen, again = forward(BATCH), forward(other)
    np.testing.assert_array_equal(seen.encoded.click_logits, again.encoded.click_logits)
    assert np.any(seen.logits != again.logits)


@pytest.mark.parametrize(
    ("changes", "sizes", "gone"),
    [
        ({"model__modalities": ("image",)}, SIZES, {"encoders_1", "attention_1"}),
        ({"model__history": False}, SIZES, {"personal_fusion", "attention_0"}),
        ({}, Sizes(2, 0, 0, (), 6), {"fusion", "personal_fusion", "encoders_0"}),
        ({"model__field_layers": 0}, SIZES, {"field_blocks_0"}),
        ({}, Sizes(0, 0, 0, (Modality("image", 4),), 6), {"number_token"}),
    ],
    ids=["no text", "no history", "numbers alone", "no field layers", "image alone"],
)
def test_parts_that_are_left_out_have_no_parameters(changes, sizes, gone):
    whole = jax.eval_shape(make_learner().init).params
    learner = make_learner(sizes=sizes, **changes)
    params = jax.eval_shape(learner.init).params
    assert gone <= whole.keys() - params.keys()
    assert all(leaf.size for leaf in jax.tree.leaves(params))
    out = jax.eval_shape(learner._apply, params, make_batch(sizes=sizes))
    assert out.logits.shape == (5, 6)


def test_no_past_items_at_all_is_a_history_of_none():
    empty = make_batch(past=0)
    seen = forward({**BATCH, **{n: a for n, a in empty.items() if "history" in n}})
    assert np.all(np.isfinite(seen.logits))
    np.testing.assert_array_equal(seen.logits[0], forward(BATCH).logits[0])
