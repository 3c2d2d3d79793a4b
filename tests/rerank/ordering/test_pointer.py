"""The pointer learns to generate what the evaluator holds best."""

import functools

import jax
import numpy as np

from rerank.ordering import generators, search
from rerank.ordering.pointer import PointerLearner, pointer_policy
from rerank.step import State
from tests.rerank.by_hand import draw_state, make_batch, make_learner

BATCH = make_batch((6, 1, 0, 4, 3, 5), seed=4)
EVALUATOR = make_learner(
    pointer_steps=60, optimizer__learning_rate=0.02, optimizer__weight_decay=0.0
)
LEARNER = PointerLearner(EVALUATOR)


@functools.cache
def start():
    """A state of random weights, without compiling `init`."""
    evaluator = draw_state(EVALUATOR, scale=0.8)
    shapes = jax.eval_shape(LEARNER.init, evaluator)
    rng = np.random.default_rng(2)
    pointer = jax.tree.map(
        lambda leaf: (0.3 * rng.normal(size=leaf.shape)).astype(np.float32),
        shapes.params["pointer"],
    )
    both = {"evaluator": evaluator.params, "pointer": pointer}
    return State(both, LEARNER.optimizer.init(pointer))


def test_imitation_finds_orders_that_are_worth_more():
    state = start()
    step, evaluate = jax.jit(LEARNER.step), jax.jit(LEARNER.evaluate)
    before = evaluate(state, BATCH)["log_loss"]
    losses = []
    for number in range(60):
        state, pairs = step(state, BATCH, jax.random.fold_in(jax.random.key(0), number))
        losses.append(float(pairs["loss"][0] / pairs["loss"][1]))
    after = evaluate(state, BATCH)["log_loss"]
    assert losses[-1] < 0.7 * losses[0]
    # Less than nothing is lost against the order shown.
    assert float(after[0]) < min(0.0, float(before[0]))
    assert float(after[1]) == 5
    jax.tree.map(
        np.testing.assert_array_equal,
        state.params["evaluator"],
        start().params["evaluator"],
    )


def test_it_imitates_the_best_order_that_is_known():
    """At least as good as the order shown and as what the pointer draws by itself."""
    state, mask = start(), BATCH["mask"]
    keys = jax.random.split(jax.random.key(1), len(mask))

    @jax.jit
    def run():
        items, values = LEARNER._encode(state, BATCH)
        pointer = state.params["pointer"]
        best = LEARNER._best_orders(pointer, items, mask, values, keys)
        drawn = generators.sample(pointer_policy(pointer, items, mask), mask, keys, 8)
        shown = generators.sort_order(np.zeros(mask.shape), mask)[:, None]
        return values(best[:, None])[:, 0], values(drawn.orders), values(shown)[:, 0]

    best, drawn, shown = map(np.asarray, run())
    assert np.all(best >= drawn.max(1) - 1e-5) and np.all(best >= shown - 1e-5)
    assert np.any(best > drawn.max(1) + 1e-5)


def test_serving_proposals_come_from_the_pointer():
    state, mask = start(), BATCH["mask"]
    keys = jax.random.split(jax.random.key(1), len(mask))

    @jax.jit
    def run():
        items, _ = LEARNER._encode(state, BATCH)
        policy = pointer_policy(state.params["pointer"], items, mask)
        config = EVALUATOR.config.search
        scores = items[..., 0]
        greedy = generators.beam(policy, mask, config.beams).orders[:, 0]
        return search.propose(scores, mask, policy, keys, config), greedy

    proposals, greedy = run()
    assert proposals.shape == (6, 17, 6)
    np.testing.assert_array_equal(proposals[:, 2], greedy)
