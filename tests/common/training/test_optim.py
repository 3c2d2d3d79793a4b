import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from common.training import optim

PARAMS = {
    "backbone": {"kernel": jnp.array([[1.0, 2.0]]), "bias": jnp.array([3.0])},
    "head": {"kernel": jnp.array([[4.0]]), "scale": jnp.array([5.0])},
}


def like(value):
    return {
        "backbone": {"kernel": jnp.full((1, 2), value), "bias": jnp.full(1, value)},
        "head": {"kernel": jnp.full((1, 1), value), "scale": jnp.full(1, value)},
    }


def run(config, gradients, params=PARAMS, total_steps=10, **options):
    optimizer = optim.make_optimizer(config, total_steps, **options)
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def test_default_is_the_papers_momentum():
    config = optim.OptimizerConfig()
    assert (config.name, config.learning_rate, config.momentum) == (
        "momentum",
        0.01,
        0.9,
    )
    params, _ = run(config, [like(1.0), like(2.0)])
    # velocities 1 and 0.9 + 2; 4 - 0.01 * (1 + 2.9)
    np.testing.assert_allclose(params["head"]["kernel"], [[3.961]], rtol=1e-6)


def test_sgd():
    params, _ = run(optim.OptimizerConfig(name="sgd", learning_rate=0.5), [like(2.0)])
    np.testing.assert_allclose(params["head"]["scale"], [4.0])


def test_adams_first_step_is_the_rate():
    config = optim.OptimizerConfig(name="adam", learning_rate=0.1)
    params, _ = run(config, [like(7.0)])
    np.testing.assert_allclose(params["head"]["kernel"], [[3.9]], rtol=1e-5)


def test_weight_decay_is_coupled_for_momentum():
    config = optim.OptimizerConfig(name="sgd", learning_rate=1.0, weight_decay=0.1)
    params, _ = run(config, [like(0.0)])
    np.testing.assert_allclose(params["head"]["kernel"], [[3.6]], rtol=1e-6)
    np.testing.assert_array_equal(params["head"]["scale"], [5.0])
    np.testing.assert_array_equal(params["backbone"]["bias"], [3.0])


def test_weight_decay_is_decoupled_for_adamw():
    config = optim.OptimizerConfig(name="adamw", learning_rate=0.5, weight_decay=0.1)
    params, _ = run(config, [like(3.0)])
    # 4 - 0.5 * (1 + 0.1 * 4): Adam's step is 1 whatever the decay.
    np.testing.assert_allclose(params["head"]["kernel"], [[3.3]], rtol=1e-5)
    np.testing.assert_allclose(params["head"]["scale"], [4.5], rtol=1e-5)


def test_decay_leaves_stacked_biases_and_scales_alone():
    params = {"kernel": jnp.ones((2, 2)), "bias_x": jnp.ones((2, 3)), "g": jnp.ones(4)}
    mask = optim.decay_mask(params)
    assert mask == {"kernel": True, "bias_x": False, "g": False}


def test_clipping_bounds_the_norm_of_all_together():
    config = optim.OptimizerConfig(name="sgd", learning_rate=1.0, clip_norm=1.0)
    params, _ = run(config, [like(2.0)])
    # five entries of 2: norm sqrt(20)
    np.testing.assert_allclose(
        params["head"]["kernel"], [[4 - 2 / math.sqrt(20)]], rtol=1e-6
    )


def test_frozen_subtrees_stay_and_hold_no_state():
    config = optim.OptimizerConfig(clip_norm=1.0, learning_rate=1.0, weight_decay=0.1)
    params, state = run(config, [like(2.0), like(2.0)], frozen=("backbone",))
    np.testing.assert_array_equal(params["backbone"]["kernel"], [[1.0, 2.0]])
    shapes = sorted(x.shape for x in jax.tree.leaves(state))
    assert shapes == [(), (1,), (1, 1)]  # count and two momenta
    # The frozen gradients don't count in the norm: two entries of 2.
    first, _ = run(
        optim.OptimizerConfig(name="sgd", clip_norm=1.0, learning_rate=1.0),
        [like(2.0)],
        frozen=("backbone",),
    )
    np.testing.assert_allclose(
        first["head"]["scale"], [5 - 2 / math.sqrt(8)], rtol=1e-6
    )


def test_frozen_paths_match_whole_names():
    params = {"back": {"kernel": jnp.ones(1)}, "backbone": {"kernel": jnp.ones(1)}}
    labels = optim.freeze_labels(params, ("back",))
    assert labels["back"]["kernel"] == "frozen"
    assert labels["backbone"]["kernel"] == "trained"
    with pytest.raises(ValueError, match="stem"):
        optim.freeze_labels(params, ("stem",))


def test_schedules():
    constant = optim.make_schedule(optim.OptimizerConfig(learning_rate=0.2), 10)
    assert [float(constant(k)) for k in (0, 9)] == pytest.approx([0.2, 0.2])
    config = optim.OptimizerConfig(learning_rate=1.0, schedule="cosine", warmup_steps=4)
    cosine = optim.make_schedule(config, 12)
    rates = [float(cosine(k)) for k in (0, 1, 3, 4, 8, 10, 12, 99)]
    quarter = (1 + math.cos(math.pi * 6 / 8)) / 2
    assert rates == pytest.approx([0.25, 0.5, 1, 1, 0.5, quarter, 0, 0], abs=1e-6)


def test_the_rate_drops_once():
    config = optim.OptimizerConfig(learning_rate=5e-4, schedule="drop")
    schedule = optim.make_schedule(config, total_steps=2550)
    rates = [float(schedule(count)) for count in (0, 1699, 1700, 2549)]
    np.testing.assert_allclose(rates, [5e-4, 5e-4, 2e-4, 2e-4], rtol=1e-6)
    config = dataclasses.replace(config, drop_at=0.5, drop_factor=0.1)
    schedule = optim.make_schedule(config, total_steps=10)
    rates = [float(schedule(count)) for count in (4, 5)]
    np.testing.assert_allclose(rates, [5e-4, 5e-5], rtol=1e-6)
