"""Steps of all models by all rules against the formulas in NumPy, float64."""

import dataclasses
import functools
import typing

import jax
import numpy as np
import optax
import pytest

from common import config as configs
from recsys import task
from recsys.config import MODELS, Config
from recsys.recommender import NO_ROW, pad_ids
from recsys.row_optimizer import Rule
from recsys.task import State, Task
from tests.quick_compilation import compiling_quickly
from tests.recsys import plain_models as plain

RULES = typing.get_args(Rule)
RATE = 0.0625  # the same number in float32
EPSILON, B1 = 1e-8, 0.9
KEY = jax.random.key(0)

# Three positives of two users; nobody takes users 0, 2 and 4.
USERS = np.array([1, 3, 1], np.int32)
LEAVES = np.array([[0, 2, 0], [4, 0, 4], [2, 2, 4]], np.int32)
ITEMS = np.array([[0, 3, 5], [8, 0, 3], [3, 5, 8]], np.int32)
SAMPLED = np.array([4, 1, 4, 2], np.int32)
OTHERS = np.array([[0, 1, -1], [2, 3, 4], [1, -1, -1]], np.int32)


@pytest.fixture(autouse=True)
def _compile_quickly_in_float64():
    with compiling_quickly(), jax.enable_x64(True):
        yield


def make_config(name="vbpr", **changes):
    settings = {
        "model.name": name,
        "model.width": 12,
        "model.level_widths": (3, 2, 4) if name == "coarse-fine" else (),
        "model.user_bias": name != "coarse-fine",
        "optimizer.learning_rate": RATE,
        "optimizer.weight_decay": 0.0,
        "loss.chunk": 2,
        "train.steps": 9,
    }
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return configs.replace(Config(), {**settings, **named})


@functools.cache
def make_task(name="vbpr", **changes):
    config = make_config(name, **changes)
    model = task.make_model(
        config, plain.TREE, plain.USERS, plain.ITEMS, plain.FEATURES, 1.0, "tiles"
    )
    return Task(config, model)


def make_batch(own, seed=3, items=ITEMS, leaves=LEAVES):
    """A batch as the task's config wants it."""
    features = np.random.default_rng(seed).normal(size=(*ITEMS.shape, plain.FEATURES))
    batch = {"users": USERS, "items": items, "leaves": leaves, "features": features}
    loss, users = own.config.loss, USERS
    if loss.user_weight and loss.mask_other_users:
        batch["others"] = OTHERS
    if loss.user_weight and loss.softmax == "sampled":
        batch["sampled_users"] = SAMPLED
        users = np.concatenate([USERS, SAMPLED])
    if kinds := task.row_kinds(own.config):
        found = own.model.row_ids(users, items, leaves)
        batch["ids"] = {
            kind: pad_ids(ids, len(ids) + 2)
            for kind, ids in found.items()
            if kind in kinds
        }
    return batch


def start(own):
    """Parameters from N(0, 0.25), by model alone, and no moments yet."""
    params = {name: x / 2 for name, x in plain.draw_params(own.model).items()}
    return State(params, own.optimizer.init(params, task.row_kinds(own.config)))


def step(own, *batches, state=None):
    """(state, last metrics) after a step on each batch."""
    state, run, pairs = state or start(own), jax.jit(own.step), None
    for batch in batches:
        state, pairs = run(state, batch, KEY)
    return state, pairs


def plain_loss(own, params, batch):
    """J of Eq. 9, one score at a time."""
    loss, (users, items) = own.config.loss, (batch["users"], batch["items"])
    rows = users, items, batch["leaves"], batch["features"]
    scores = plain.plain_scores(own.model, params, *rows)
    by_pair = np.log1p(np.exp(scores[:, 1:] - scores[:, :1]))
    by_row = []
    for b in range(len(users)) if loss.user_weight else ():
        # The positive of row b against every user.
        everyone = np.array(
            [
                plain.plain_scores(
                    own.model,
                    params,
                    np.array([user]),
                    *(column[b : b + 1, :1] for column in rows[1:]),
                )[0, 0]
                for user in range(plain.USERS)
            ]
        )
        mine = np.exp(everyone[users[b]])
        left_out = set(batch["others"][b].tolist()) if "others" in batch else set()
        drawn = range(plain.USERS), 1.0
        if "sampled_users" in batch:
            sampled = batch["sampled_users"].tolist()
            drawn = sampled, plain.USERS / len(sampled)
        counted = [user for user in drawn[0] if user not in {*left_out, users[b]}]
        total = mine + drawn[1] * sum(np.exp(everyone[user]) for user in counted)
        by_row.append(np.log(total / mine))
    reduce = np.sum if loss.reduction == "sum" else np.mean
    first = loss.item_weight * reduce(by_pair)
    return first + (loss.user_weight * reduce(by_row) if by_row else 0.0)


@functools.cache
def dense_gradients(name, **changes):
    """{name: array} of the default rule, read from its first moments."""
    own = make_task(name, **changes)
    state, _ = step(own, make_batch(own))
    first = optax.tree_utils.tree_get(state.optimizer.dense, "mu")
    return {name: np.asarray(x) / (1 - B1) for name, x in first.items()}


def assert_gradients(own, gradients, batch):
    """Against differences of the plain loss, along one direction for each array."""
    params, rng = start(own).params, np.random.default_rng(7)
    assert gradients.keys() == params.keys()
    for name, value in params.items():
        way = rng.normal(size=value.shape)
        ends = [
            plain_loss(own, {**params, name: value + reach * way}, batch)
            for reach in (1e-5, -1e-5)
        ]
        slope = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(
            np.sum(gradients[name] * way), slope, rtol=1e-6, atol=1e-9, err_msg=name
        )


def touched_rows(name, batch):
    """bool of the rows of a table that a batch needs; None for other parameters."""
    kind = name.split("_")[0]
    if kind not in batch["ids"]:
        return None
    rows = batch["ids"][kind]
    count = {"user": plain.USERS, "item": plain.ITEMS}.get(kind)
    if count is None:
        level = 3 if kind == "leaf" else int(kind[-1])
        count = plain.TREE.level_sizes[level - 1]
    found = np.zeros(count, bool)
    found[rows[rows != NO_ROW]] = True
    return found


@pytest.mark.parametrize("name", MODELS)
def test_a_step_follows_the_gradient_of_equation_9(name):
    """0.75 J_1 + 0.25 J_2 over all users; Adam's first step is one of the rate."""
    own = make_task(name)
    assert (own.config.loss.item_weight, own.config.loss.user_weight) == (0.75, 0.25)
    batch, before = make_batch(own), start(own).params
    after, pairs = step(own, batch)
    total, weight = pairs["loss"]
    assert weight == 3
    wanted = plain_loss(own, before, batch)
    np.testing.assert_allclose(total / weight, wanted, rtol=1e-12)
    gradients = dense_gradients(name)
    assert_gradients(own, gradients, batch)
    for table, gradient in gradients.items():
        change = -RATE * gradient / (np.abs(gradient) + EPSILON)
        np.testing.assert_allclose(
            after.params[table], before[table] + change, rtol=1e-10, err_msg=table
        )


@pytest.mark.parametrize("rule", RULES[1:])
@pytest.mark.parametrize("name", MODELS)
def test_rows_take_the_step_of_the_dense_rule_and_others_rest(name, rule):
    """With a user's rows too; row-wise Adagrad has a step of its own."""
    changes = {"loss__softmax": "sampled"}
    own = make_task(name, rows=rule, **changes)
    batch, before = make_batch(own), start(own).params
    after, _ = step(own, batch)
    gradients = dense_gradients(name, **changes)
    dense, _ = step(make_task(name, **changes), {**batch, "ids": {}})
    resting = 0
    for table, gradient in gradients.items():
        found, wanted = np.array(after.params[table]), np.array(dense.params[table])
        rows = touched_rows(table, batch)
        if rows is not None:
            if rule == "row_adagrad":
                axes = tuple(range(1, gradient.ndim))
                scale = np.sqrt(np.mean(gradient**2, axis=axes, keepdims=True))
                wanted = before[table] - RATE * gradient / (scale + EPSILON)
            np.testing.assert_array_equal(found[~rows], before[table][~rows])
            found, wanted = found[rows], wanted[rows]
            resting += np.sum(~rows)
            moved = np.abs(found - before[table][rows]).reshape(len(found), -1)
            # All users are the same for Eq. 7, but never for all pairs at once.
            assert (moved.max(axis=1) > 1e-3 * RATE).all(), table
        np.testing.assert_allclose(found, wanted, rtol=1e-9, err_msg=table)
    assert resting > 2


def test_the_sampled_second_task_by_hand():
    """Drawn twice counts twice, an own user once, everything by 5 users / 4 drawn."""
    own = make_task("coarse-fine", loss__softmax="sampled")
    batch = make_batch(own)
    _, pairs = step(own, batch)
    wanted = plain_loss(own, start(own).params, batch)
    np.testing.assert_allclose(np.divide(*pairs["loss"]), wanted, rtol=1e-12)
    assert_gradients(
        own, dense_gradients("coarse-fine", loss__softmax="sampled"), batch
    )


def test_every_user_sampled_once_is_the_exact_second_task():
    exact, sampled = make_task(), make_task(loss__softmax="sampled")
    batch = {**make_batch(exact), "sampled_users": np.array([3, 0, 4, 2, 1], np.int32)}
    (_, wanted), (_, found) = (step(own, batch) for own in (exact, sampled))
    for name in ("loss", "pairs", "users"):
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-12)


@pytest.mark.parametrize("softmax", ["exact", "sampled"])
def test_other_users_of_an_item_are_left_out_where_asked(softmax):
    own = make_task(loss__mask_other_users=True, loss__softmax=softmax)
    batch, params = make_batch(own), start(own).params
    _, pairs = step(own, batch)
    found, wanted = np.divide(*pairs["loss"]), plain_loss(own, params, batch)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    del batch["others"]
    assert plain_loss(own, params, batch) > wanted + 0.01


@pytest.mark.parametrize("rule", ["dense", "lazy"])
def test_the_first_task_alone_has_its_weight(rule):
    changes = {"loss__user_weight": 0.0, "loss__item_weight": 0.5}
    own = make_task("coarse-fine", rows=rule, **changes)
    batch, params = make_batch(own), start(own).params
    after, pairs = step(own, batch)
    scores = plain.plain_scores(
        own.model, params, USERS, ITEMS, LEAVES, batch["features"]
    )
    wanted = 0.5 * np.log1p(np.exp(scores[:, 1:] - scores[:, :1])).mean()
    np.testing.assert_allclose(np.divide(*pairs["loss"]), wanted, rtol=1e-12)
    assert "users" not in pairs
    assert_gradients(own, dense_gradients("coarse-fine", **changes), batch)
    for user in range(plain.USERS):
        moved = after.params["user_preference"][user] != params["user_preference"][user]
        assert moved.any() == (user in USERS), user


def test_sums_in_place_of_means():
    own, mean = make_task(loss__reduction="sum"), make_task()
    batch = make_batch(own)
    _, pairs = step(own, batch)
    wanted = plain_loss(own, start(own).params, batch)
    np.testing.assert_allclose(np.divide(*pairs["loss"]), wanted, rtol=1e-12)
    # 6 pairs and 3 rows: twice as much weight on the first task.
    _, parts = step(mean, batch)
    first, second = (np.divide(*parts[name]) for name in ("pairs", "users"))
    np.testing.assert_allclose(wanted, 0.75 * 6 * first + 0.25 * 3 * second, rtol=1e-12)


@pytest.mark.parametrize("softmax", ["exact", "sampled"])
@pytest.mark.parametrize("rule", ["dense", "lazy"])
def test_the_penalty_is_on_what_a_step_updates(rule, softmax):
    """No bias, no resting row; with the exact second task every user's row."""
    own = make_task("sherlock", rows=rule, loss__penalty=0.5, loss__softmax=softmax)
    batch, params = make_batch(own), start(own).params
    _, pairs = step(own, batch)
    wanted = plain_loss(own, params, batch)
    for name, table in params.items():
        rows = touched_rows(name, batch) if "ids" in batch else None
        if "bias" not in name:
            wanted += 0.5 * np.sum(np.square(table if rows is None else table[rows]))
    np.testing.assert_allclose(np.divide(*pairs["loss"]), wanted, rtol=1e-12)


def test_how_many_negatives_stand_below_the_positive():
    own = make_task("deepstyle")
    batch = make_batch(own)
    _, pairs = step(own, batch)
    scores = plain.plain_scores(
        own.model, start(own).params, USERS, ITEMS, LEAVES, batch["features"]
    )
    below = sum(
        bool(row[0] > negative) for row in scores.tolist() for negative in row[1:]
    )
    assert 0 < below < 6
    np.testing.assert_allclose(np.divide(*pairs["ahead"]), below / 6, rtol=1e-12)


def test_current_params_bring_resting_rows_to_where_the_dense_rule_has_them():
    """Items 3, 5, 8 and leaf 4 rest after the first step; users, with one task, too."""
    changes = {"loss__user_weight": 0.0, "optimizer__weight_decay": 0.25}
    found = {}
    for rule in ("dense", "lazy", "lazy_corrected"):
        own = make_task(rows=rule, **changes)
        later = {"items": np.zeros_like(ITEMS), "leaves": np.zeros_like(LEAVES)}
        batches = [make_batch(own), *(make_batch(own, k, **later) for k in (4, 5))]
        state, _ = step(own, *batches)
        found[rule] = state.params, jax.jit(own.current_params)(state)
    stale, current = found["lazy_corrected"]
    _, dense = found["dense"]
    for name, wanted in dense.items():
        np.testing.assert_allclose(
            current[name], wanted, rtol=1e-5, atol=1e-6, err_msg=name
        )
    rest = [3, 5, 8]
    gap = np.abs(np.array(dense["item_factor"]) - stale["item_factor"])
    assert (gap[rest].max(axis=1) > 0.1 * RATE).all()
    assert gap[0].max() < 1e-5
    for rule in ("dense", "lazy"):
        jax.tree.map(np.testing.assert_array_equal, *found[rule])


def test_the_config_names_the_model():
    """Widths of the parts by the paper: half for factors, a quarter for each level."""
    own = make_task("coarse-fine", model__level_widths=())
    assert own.model.category_widths == (3, 3, 3)
    sizes = {
        name: {k: v.shape for k, v in plain.draw_params(make_task(name).model).items()}
        for name in MODELS
    }
    assert sizes["vbpr"]["item_factor"] == (9, 6)
    assert sizes["vbpr"]["visual_matrix"] == (6, 6)
    assert sizes["vbpr-i"]["visual_matrix"] == (6, 12)
    assert [sizes["sherlock-i"][f"level{k}_matrix"][2] for k in (1, 2, 3)] == [6, 3, 3]
    assert sizes["deepstyle"]["item_factor"] == (9, 12)
    for name in MODELS:
        assert ("item_factor" in sizes[name]) == (
            name in ("vbpr", "sherlock", "deepstyle")
        )
    plainly = dataclasses.replace(make_config("vbpr-i").model, user_bias=False)
    config = dataclasses.replace(make_config("vbpr-i"), model=plainly)
    model = task.make_model(config, plain.TREE, 5, 9, 6, 1.0, "tiles")
    assert "user_bias" not in plain.draw_params(model)


def test_the_first_state_is_a_function_of_the_seed():
    one, again, other = (
        make_task(train__seed=seed, train__steps=steps).init().params
        for seed, steps in ((0, 9), (0, 8), (1, 9))
    )
    jax.tree.map(np.testing.assert_array_equal, one, again)
    for name in ("user_visual", "visual_matrix", "item_factor"):
        assert (one[name] != other[name]).all(), name
