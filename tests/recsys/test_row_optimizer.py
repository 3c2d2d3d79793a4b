import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from common.errors import UserError
from common.training.optim import OptimizerConfig, make_optimizer
from recsys.models.recommender import NO_ROW, pad_ids
from recsys.row_optimizer import RowOptimizer

RULES = ["dense", "lazy", "lazy_corrected"]
SHAPES = {
    "user_vector": (9, 3),
    "user_bias": (9, 2),
    "leaf_matrix": (6, 2, 2),
    "visual_matrix": (2, 3),
    "visual_bias": (3,),
}
DECAYING = {"user_vector", "leaf_matrix", "visual_matrix"}
ROWS = {"user": 9, "leaf": 6}
ROOM = {"user": 5, "leaf": 3}  # ids in a batch, with padding
STEPS = 16
CONFIG = OptimizerConfig(
    name="adamw",
    learning_rate=0.05,
    momentum=0.8,
    weight_decay=0.3,
    clip_norm=4.0,
    schedule="cosine",
    warmup_steps=3,
)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def kind_of(name):
    return name.split("_")[0]


def rate(config, step, total):
    """Of step 1, 2, ...; warm-up and a cosine that ends at `total`."""
    warm = config.warmup_steps
    if step <= warm:
        return config.learning_rate * step / warm
    done = (step - 1 - warm) / (total - warm)
    return config.learning_rate * (1 + math.cos(math.pi * done)) / 2


def draw_params(seed=0, shapes=SHAPES):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def draw_batches(count=STEPS, seed=1):
    """[(ids, gradients of rows, other gradients)]; what stands at padding is large."""
    rng, batches = np.random.default_rng(seed), []
    for _ in range(count):
        ids = {}
        for kind, room in ROOM.items():
            some = rng.choice(ROWS[kind], rng.integers(0, room + 1), replace=False)
            ids[kind] = pad_ids(np.sort(some).astype(np.int32), room)
        rows, others = {}, {}
        for name, shape in SHAPES.items():
            if kind_of(name) not in ids:
                others[name] = rng.normal(size=shape)
                continue
            numbers = ids[kind_of(name)]
            rows[name] = rng.normal(size=(len(numbers), *shape[1:]))
            rows[name][numbers == NO_ROW] = 1e3
        batches.append((ids, rows, others))
    return batches


def whole_gradients(batch):
    """{name: gradient of the whole array} and {name: which rows the batch has}."""
    ids, rows, others = batch
    gradients, touched = dict(others), {}
    for name, values in rows.items():
        gradients[name] = np.zeros(SHAPES[name])
        touched[name] = np.zeros(len(gradients[name]), bool)
        for number, value in zip(ids[kind_of(name)], values, strict=True):
            if number != NO_ROW:
                gradients[name][number] = value
                touched[name][number] = True
    return gradients, touched


def plain_run(rule, config, params, batches, total=STEPS):
    """The rules row by row in float64; [params after 0, 1, ... steps]."""
    w = {name: np.array(value) for name, value in params.items()}
    m = {name: np.zeros_like(value) for name, value in w.items()}
    v = {name: np.zeros_like(value) for name, value in w.items()}
    history, b1, b2 = [{n: x.copy() for n, x in w.items()}], config.momentum, 0.999
    for step, batch in enumerate(batches, start=1):
        gradients, touched = whole_gradients(batch)
        norm = math.sqrt(sum((g**2).sum() for g in gradients.values()))
        clip = min(1, config.clip_norm / norm) if config.clip_norm else 1
        lr = rate(config, step, total)
        for name, gradient in gradients.items():
            decay = config.weight_decay if name in DECAYING else 0
            by_row = name in touched and rule != "dense"
            for row in range(len(gradient)):
                if by_row and rule != "lazy_corrected" and not touched[name][row]:
                    continue
                g = clip * gradient[row]
                m[name][row] = b1 * m[name][row] + (1 - b1) * g
                v[name][row] = b2 * v[name][row] + (1 - b2) * g**2
                scale = np.sqrt(v[name][row] / (1 - b2**step)) + 1e-8
                move = m[name][row] / (1 - b1**step) / scale
                w[name][row] -= lr * (move + decay * w[name][row])
        history.append({n: x.copy() for n, x in w.items()})
    return history


def run(optimizer, params, batches, state=None):
    """[(rows that a batch has seen, params and state after it)]."""
    params, history = jax.tree.map(jnp.asarray, params), []
    state = state or optimizer.init(params, list(ROOM))

    @jax.jit
    def step(params, state, ids, *gradients):
        rows, _ = optimizer.split_rows(params, state, ids)
        return rows, *optimizer.update(params, state, *gradients, ids)

    for batch in batches:
        if optimizer.rule == "dense":
            batch = {}, {}, whole_gradients(batch)[0]
        rows, params, state = step(params, state, *batch)
        history.append((rows, params, state))
    return history


def assert_close(found, expected, tolerance):
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, tolerance, tolerance)


# Two rows at a time, and all at once.
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("chunk", "clip"), [(1, 4.0), (2**17, 0.0)])
def test_every_rule_is_its_formula(rule, chunk, clip, float64):
    config = dataclasses.replace(CONFIG, clip_norm=clip)
    params, batches = draw_params(), draw_batches()
    optimizer = RowOptimizer(rule, config, STEPS, chunk=chunk)
    expected = plain_run(rule, config, params, batches)
    history = run(optimizer, params, batches)
    _, found, state = history[-1]
    finished, _ = jax.jit(optimizer.finish)(found, state)
    assert_close(finished, expected[-1], 2e-7)
    for k, (rows, _, _) in enumerate(history):
        before, ids = expected[k], batches[k][0]
        assert bool(rows) == (rule != "dense")
        for name, values in rows.items():
            table = np.concatenate([before[name], np.zeros_like(before[name][:1])])
            numbers = np.minimum(ids[kind_of(name)], len(table) - 1)
            np.testing.assert_allclose(values, table[numbers], 2e-7, 2e-7)
    # Only the corrected rule has rows that wait.
    waited = np.abs(finished["user_vector"] - found["user_vector"]).max()
    assert (waited > 0.01) == (rule == "lazy_corrected")


def test_dense_is_common_adamw_bit_for_bit():
    reference = make_optimizer(CONFIG, STEPS)
    optimizer = RowOptimizer("dense", CONFIG, STEPS)

    @jax.jit
    def common(params, moments, gradients):
        updates, moments = reference.update(gradients, moments, params)
        return optax.apply_updates(params, updates), moments

    found = expected = jax.tree.map(np.float32, draw_params())
    state, moments = optimizer.init(found, ["user"]), reference.init(expected)
    update = jax.jit(optimizer.update)
    for batch in draw_batches(5):
        gradients = jax.tree.map(np.float32, whole_gradients(batch)[0])
        found, state = update(found, state, {}, gradients, {})
        expected, moments = common(expected, moments, gradients)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("rule", ["lazy", "lazy_corrected"])
def test_rows_that_never_rest_are_as_with_dense(rule):
    shapes = {"user_vector": (4, 3), "user_bias": (4, 2)}
    params = jax.tree.map(np.float32, draw_params(shapes=shapes))
    ids = {"user": np.arange(4, dtype=np.int32)}
    optimizer, dense = (RowOptimizer(name, CONFIG, 20) for name in (rule, "dense"))
    found, state = params, optimizer.init(params, ["user"])
    expected, whole = params, dense.init(params, [])
    by_row, by_table = jax.jit(optimizer.update), jax.jit(dense.update)
    for seed in range(20):
        gradients = jax.tree.map(np.float32, draw_params(seed, shapes))
        found, state = by_row(found, state, gradients, {}, ids)
        expected, whole = by_table(expected, whole, {}, gradients, {})
    assert_close(found, expected, 1e-6)


def train(rule, config, total, scale=1.0):
    """Weights after training towards targets; rows rest for up to 400 steps.

    Row 0 comes in steps 0 to 9, row 1 also in the last step, row 2 in every fifth step,
    row 3 never. Gradients depend on the rows, so these must be up to date.
    """
    shape = (4, 30)
    params = {"user_vector": jnp.ones(shape) * jnp.linspace(-1, 1, 30)[None]}
    target = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    optimizer = RowOptimizer(rule, config, total)
    state = optimizer.init(params, ["user"])

    @jax.jit
    def step(params, state, ids):
        if rule == "dense":
            weight = jnp.zeros(4).at[ids].set(scale, mode="drop")
            gradient = weight[:, None] * (params["user_vector"] - target)
            return optimizer.update(params, state, {}, {"user_vector": gradient}, {})
        ids = {"user": ids}
        rows, _ = optimizer.split_rows(params, state, ids)
        expected = jnp.take(target, ids["user"], axis=0, mode="fill", fill_value=0)
        gradient = {"user_vector": scale * (rows["user_vector"] - expected)}
        return optimizer.update(params, state, gradient, {}, ids)

    for k in range(total):
        some = [0, 1] * (k < 10) + [1] * (k == total - 1) + [2] * (k % 5 == 0)
        ids = pad_ids(np.array(sorted(some), np.int32), 4)
        params, state = step(params, state, ids)
    return np.asarray(optimizer.finish(params, state)[0]["user_vector"])


@pytest.mark.parametrize("schedule", ["constant", "cosine", "drop"])
def test_corrected_rows_rest_as_with_dense(schedule):
    """Float32; within 1e-5 of what dense moves, where lazy is off by a tenth."""
    config = OptimizerConfig(
        learning_rate=0.01, weight_decay=0.1, schedule=schedule, warmup_steps=15
    )
    start = np.linspace(-1, 1, 30)[None]
    dense, corrected, lazy = (
        train(rule, config, 400) for rule in ("dense", "lazy_corrected", "lazy")
    )
    for row in range(4):
        moved = np.abs(dense[row] - start).max()
        assert moved > 0.1
        assert np.abs(corrected[row] - dense[row]).max() < 1e-5 * moved
        assert np.abs(lazy[row] - dense[row]).max() > 0.1 * moved


@pytest.mark.parametrize(("scale", "bound"), [(1e-4, 2e-3), (1e-6, 0.03)])
def test_gradients_near_epsilon_are_corrected_in_part(scale, bound):
    """All in the first steps of a run; sqrt(v) is about 300 eps, and 3 eps."""
    config = OptimizerConfig(learning_rate=0.01, schedule="constant")
    dense, corrected, lazy = (
        train(rule, config, 60, scale) for rule in ("dense", "lazy_corrected", "lazy")
    )
    moved = np.abs(dense - np.linspace(-1, 1, 30)[None]).max(axis=1)[:3]
    off = np.abs(corrected - dense).max(axis=1)[:3] / moved
    assert off.max() < bound
    assert (np.abs(lazy - dense).max(axis=1)[:3] / moved).min() > 0.4


def test_a_long_rest_is_a_geometric_series():
    """1000 steps after the 20,000th: l m / sqrt(v) (q + q^2 + ...), q = b1/sqrt(b2)."""
    config = OptimizerConfig(learning_rate=0.01, momentum=0.9)
    optimizer = RowOptimizer("lazy_corrected", config, 21_000)
    params = {"user_vector": jnp.zeros((2, 1))}
    state = optimizer.init(params, ["user"])._replace(
        steps=jnp.int32(21_000),
        moments={"user_vector": (jnp.full((2, 1), 3.0), jnp.full((2, 1), 4.0))},
        last={"user": jnp.array([20_000, 21_000])},
    )
    found, after = jax.jit(optimizer.finish)(params, state)
    ratio = 0.9 / math.sqrt(0.999)
    moved = -0.01 * 3 / 2 * ratio / (1 - ratio)
    np.testing.assert_allclose(found["user_vector"], [[moved], [0]], rtol=1e-5)
    first, second = after.moments["user_vector"]
    np.testing.assert_allclose(first, [[0], [3]], atol=1e-30)
    np.testing.assert_allclose(second, [[4 * 0.999**1000], [4]], rtol=1e-4)
    np.testing.assert_array_equal(after.last["user"], [21_000, 21_000])
    # Nothing is left to do.
    again = jax.jit(optimizer.finish)(found, after)
    jax.tree.map(np.testing.assert_array_equal, again, (found, after))


def test_no_momentum_leaves_only_decay_to_a_rest():
    config = OptimizerConfig(learning_rate=0.1, momentum=0.0, weight_decay=0.5)
    optimizer = RowOptimizer("lazy_corrected", config, 3)
    params = {"user_vector": jnp.array([[2.0], [2.0]])}
    state = optimizer.init(params, ["user"])
    rows = {"user_vector": jnp.full((1, 1), 7.0)}
    for number in (0, NO_ROW):
        ids = {"user": np.int32([number])}
        params, state = optimizer.update(params, state, rows, {}, ids)
    found = optimizer.finish(params, state)[0]["user_vector"]
    # (2 - 0.1 (1 + 0.5 * 2)) * 0.95 and 2 * 0.95^2
    np.testing.assert_allclose(found, [[1.71], [1.805]], rtol=1e-5)


@pytest.mark.parametrize(
    ("rule", "chunk"), [*((r, 1) for r in RULES[1:]), ("lazy_corrected", 2**17)]
)
def test_padding_alone_changes_no_row(rule, chunk, float64):
    batches = draw_batches(4)
    ids, rows, _ = batches[3]
    for array in (*ids.values(), *rows.values()):
        array[:] = NO_ROW
    optimizer = RowOptimizer(rule, CONFIG, STEPS, chunk=chunk)
    before, (seen, params, state) = run(optimizer, draw_params(), batches)[2:]
    for name in rows:
        np.testing.assert_array_equal(seen[name], 0)
        np.testing.assert_array_equal(params[name], before[1][name])
    for part in ("moments", "last"):
        parts = getattr(state, part), getattr(before[2], part)
        jax.tree.map(np.testing.assert_array_equal, *parts)
    assert state.steps == 4
    assert np.abs(params["visual_bias"] - before[1]["visual_bias"]).min() > 1e-3


# One row alone, and pieces of two with one to spare.
@pytest.mark.parametrize("rule", RULES[1:])
@pytest.mark.parametrize("rows", [1, 201])
def test_tables_are_updated_where_they_stand(rule, rows):
    """Nothing as large as a twentieth of a table is held beside them."""
    shape = (1233, 2048, 32)
    optimizer = RowOptimizer(rule, dataclasses.replace(CONFIG, clip_norm=0.0), 100)
    params = {"leaf_matrix": jax.ShapeDtypeStruct(shape, jnp.float32)}
    state = jax.eval_shape(lambda p: optimizer.init(p, ["leaf"]), params)
    gradient = jax.ShapeDtypeStruct((rows, *shape[1:]), jnp.float32)
    ids = {"leaf": jax.ShapeDtypeStruct((rows,), jnp.int32)}
    table = 4 * math.prod(shape)

    def check(method, *inputs, aliased):
        program = jax.jit(method, donate_argnums=(0, 1) if aliased else ())
        memory = program.lower(*inputs).compile().memory_analysis()
        assert memory.temp_size_in_bytes < 0.05 * table
        assert memory.alias_size_in_bytes >= aliased * table

    inputs = params, state, {"leaf_matrix": gradient}, {}, ids
    check(optimizer.update, *inputs, aliased=3)
    if rule == "lazy_corrected" and rows > 1:
        check(optimizer.split_rows, params, state, ids, aliased=0)
        check(optimizer.finish, params, state, aliased=3)


@pytest.mark.parametrize("rule", RULES)
def test_a_run_goes_on_from_host_arrays(rule):
    params, batches = jax.tree.map(np.float32, draw_params()), draw_batches(4)
    history = run(RowOptimizer(rule, CONFIG, STEPS), params, batches)
    leaves, structure = jax.tree.flatten(history[2][1:])
    stored = jax.tree.unflatten(structure, [np.array(leaf) for leaf in leaves])
    again = run(RowOptimizer(rule, CONFIG, STEPS), stored[0], batches[3:], stored[1])
    jax.tree.map(np.testing.assert_array_equal, again[0], history[3])


def test_unknown_rules_and_endless_momentum_are_a_users_mistakes():
    with pytest.raises(UserError, match="'adam': choose one of dense, lazy, lazy_corr"):
        RowOptimizer("adam", CONFIG, 9)
    config = dataclasses.replace(CONFIG, momentum=0.9996, weight_decay=0.0)
    RowOptimizer("lazy", config, 9)
    with pytest.raises(UserError, match="momentum of 0.9996 .* below 0.9995, or lazy"):
        RowOptimizer("lazy_corrected", config, 9)


def test_gradients_must_be_of_the_tables_of_init():
    optimizer = RowOptimizer("lazy", CONFIG, 9)
    params = {"user_vector": jnp.ones((3, 2)), "leaf_bias": jnp.ones((3, 2))}
    state = optimizer.init(params, ["user"])
    ids = {"leaf": np.zeros(1, np.int32)}
    with pytest.raises(ValueError, match=r"rows of \['leaf_bias'\], but .*user_vector"):
        optimizer.update(params, state, {"leaf_bias": jnp.ones((1, 2))}, {}, ids)
