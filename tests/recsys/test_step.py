"""Steps of all models by all rules against the formulas in NumPy, float64."""

import functools
import pathlib
import subprocess
import sys
import typing

import jax
import numpy as np
import optax
import pytest

from common.config import configs
from recsys import step
from recsys.config import OURS, Config, RowRule
from recsys.models.recommender import NO_ROW, pad_ids
from recsys.step import Learner, State
from tests.recsys import plain_models as plain

RULES = typing.get_args(RowRule)
RATE = 0.0625  # the same number in float32
DRAWN = 1e-6  # the chance of a user to be drawn is kept in float32
EPSILON, B1 = 1e-8, 0.9
KEY = jax.random.key(0)

# Three positives of two users; nobody takes users 0, 2 and 4.
USERS = np.array([1, 3, 1], np.int32)
LEAVES = np.array([[0, 2, 0], [4, 0, 4], [2, 2, 4]], np.int32)
ITEMS = np.array([[0, 3, 5], [8, 0, 3], [3, 5, 8]], np.int32)
SAMPLED = np.array([4, 1, 4, 2], np.int32)
SAMPLING = {"loss__softmax": "sampled"}
OTHERS = np.array([[0, 1, -1], [2, 3, 4], [1, -1, -1]], np.int32)

# Kinds of tables whose rows may be updated alone, and what their rows stand for.
ROWS = {
    "user": range(plain.USERS),
    "item": range(plain.ITEMS),
    "leaf": plain.TREE.leaves,
    **{f"level{k}": {path[:k] for path in plain.TREE.leaves} for k in (1, 2, 3)},
}


@pytest.fixture(autouse=True)
def _compile_quickly_in_float64():
    with jax.enable_x64(True):
        yield


MODELS = (OURS, *step.SCORES)


def make_config(name="vbpr", **changes):
    settings = {
        "model.name": name,
        "model.width": 12,
        "model.level_widths": (3, 2, 4) if name == "coarse-fine" else (),
        "model.user_bias": name != "coarse-fine",
        "optimizer.learning_rate": RATE,
        "optimizer.weight_decay": 0.0,
        "loss.item_weight": 0.75,  # both tasks, whatever the name
        "loss.user_weight": 0.25,
        "loss.chunk": 2,
        "row_optimizer": "dense",
        "train.steps": 9,
    }
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return configs.replace(Config(), {**settings, **named})


@functools.cache
def make_learner(name="vbpr", **changes):
    config = make_config(name, **changes)
    model = step.make_model(
        config, plain.TREE, plain.USERS, plain.ITEMS, plain.FEATURES, 1.0, "gather"
    )
    return Learner(config, model.clone(dtype=None))


@pytest.mark.parametrize("name", MODELS)
def test_the_variants_i_learn_nothing_of_single_items(name):
    shapes = make_learner(name).model.shapes
    assert ("item_factor" in shapes) == (name in ("vbpr", "sherlock", "deepstyle"))
    visual = shapes.get("user_visual", shapes.get("user_style"))
    halved = name in ("vbpr", "sherlock")
    assert name == "coarse-fine" or visual[1] == (6 if halved else 12)


def make_batch(learner, seed=3, items=ITEMS, leaves=LEAVES):
    """A batch as the learner's config wants it."""
    features = np.random.default_rng(seed).normal(size=(*ITEMS.shape, plain.FEATURES))
    batch = {"users": USERS, "items": items, "leaves": leaves, "features": features}
    loss, users = learner.config.loss, USERS
    if loss.user_weight and loss.mask_other_users:
        batch["others"] = OTHERS
    if loss.user_weight and loss.softmax == "sampled":
        batch["sampled_users"] = SAMPLED
        users = np.concatenate([USERS, SAMPLED])
    if kinds := learner.model.kinds.intersection(step.row_kinds(learner.config)):
        found = learner.model.row_ids(kinds, users, items, leaves)
        batch["ids"] = {kind: pad_ids(ids, len(ids) + 2) for kind, ids in found.items()}
    return batch


def start(learner):
    """Parameters from N(0, 0.25), by model alone, and no moments yet."""
    params = {name: x / 2 for name, x in plain.draw_params(learner.model).items()}
    return State(params, learner.optimizer.init(params, step.row_kinds(learner.config)))


@functools.cache
def first_step(name, **changes):
    """(parameters before, state and metrics after) one step on `make_batch`."""
    learner = make_learner(name, **changes)
    state = start(learner)
    after, pairs = jax.jit(learner.step)(state, make_batch(learner), KEY)
    return state.params, after, pairs


def measure(learner, batch):
    """{name: mean} of the metrics of a step; compiles no gradient."""
    pairs = jax.jit(lambda s, b: learner.step(s, b, KEY)[1])(start(learner), batch)
    return {name: float(total / weight) for name, (total, weight) in pairs.items()}


def plain_scores(learner, params, batch):
    columns = (batch[name] for name in ("users", "items", "leaves", "features"))
    return plain.plain_scores(learner.model, params, *columns)


def plain_loss(learner, params, batch):
    """J of Eq. 9, one score at a time."""
    loss, users = learner.config.loss, batch["users"]
    scores = plain_scores(learner, params, batch)
    by_pair = np.log1p(np.exp(scores[:, 1:] - scores[:, :1]))
    by_row = []
    for b in range(len(users)) if loss.user_weight else ():
        # The positive of row b against every user.
        one = {name: batch[name][b, :1] for name in ("items", "leaves", "features")}
        columns = {name: np.stack([x] * plain.USERS) for name, x in one.items()}
        columns["users"] = np.arange(plain.USERS)
        everyone = np.exp(plain_scores(learner, params, columns)[:, 0])
        left_out = {users[b], *(batch["others"][b] if "others" in batch else ())}
        drawn = batch.get("sampled_users", np.arange(plain.USERS))
        counted = [user for user in drawn if user not in left_out]
        total = everyone[users[b]]
        total += plain.USERS / len(drawn) * sum(everyone[user] for user in counted)
        by_row.append(np.log(total / everyone[users[b]]))
    reduce = np.sum if loss.reduction == "sum" else np.mean
    if "weights" in batch:
        by_pair = (by_pair.mean(axis=1) * batch["weights"]) / batch["weights"].mean()
        if len(by_row):
            by_row = np.multiply(by_row, batch["weights"]) / batch["weights"].mean()
    first = loss.item_weight * reduce(by_pair)
    return first + (loss.user_weight * reduce(by_row) if len(by_row) else 0.0)


def slope(learner, params, batch, name, way):
    """Of the plain loss, as one array goes along a way."""
    ends = (
        plain_loss(learner, {**params, name: params[name] + reach * way}, batch)
        for reach in (1e-5, -1e-5)
    )
    return (next(ends) - next(ends)) / 2e-5


def gradients_of(state):
    """{name: array} that Adam has seen in its first step."""
    first = dict(optax.tree_utils.tree_get(state.optimizer.dense, "mu"))
    first |= {name: moments[0] for name, moments in state.optimizer.moments.items()}
    return {name: np.asarray(x) / (1 - B1) for name, x in first.items()}


def assert_gradients(learner, params, gradients):
    """Against the plain loss, along one random direction for each array."""
    batch, rng = make_batch(learner), np.random.default_rng(7)
    assert gradients.keys() == params.keys()
    for name, value in params.items():
        way = rng.normal(size=value.shape)
        found, expected = (
            (gradients[name] * way).sum(),
            slope(learner, params, batch, name, way),
        )
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8, err_msg=name)


def touched_rows(name, batch):
    """bool of the rows of a table that a batch needs; None for other parameters."""
    kind = name.split("_")[0]
    if kind not in batch.get("ids", {}):
        return None
    rows = batch["ids"][kind]
    found = np.zeros(len(ROWS[kind]), bool)
    found[rows[rows != NO_ROW]] = True
    return found


def dense_change(gradient):
    """Of Adam in its first step."""
    return -RATE * gradient / (np.abs(gradient) + EPSILON)


@pytest.mark.parametrize("name", MODELS)
def test_a_step_follows_the_gradient_of_equation_9(name):
    """0.75 J_1 + 0.25 J_2 over all users."""
    learner = make_learner(name)
    assert learner.config.task_weights == (0.75, 0.25)
    params, after, pairs = first_step(name)
    total, weight = pairs["loss"]
    expected = plain_loss(learner, params, make_batch(learner))
    np.testing.assert_allclose((total, weight), (3 * expected, 3), rtol=1e-12)
    gradients = gradients_of(after)
    assert_gradients(learner, params, gradients)
    for table, gradient in gradients.items():
        moved = params[table] + dense_change(gradient)
        np.testing.assert_allclose(
            after.params[table], moved, rtol=1e-10, err_msg=table
        )


@pytest.mark.parametrize(
    "name, rule",
    [
        ("coarse-fine", "lazy_corrected"),
        ("sherlock", "lazy"),
        ("deepstyle", "lazy_corrected"),
        ("vbpr", "lazy"),
    ],
)
def test_rows_of_the_batch_take_the_step_of_the_dense_rule_and_others_rest(name, rule):
    """Here with users drawn, so that users rest too."""
    learner = make_learner(name, row_optimizer=rule, **SAMPLING)
    batch = make_batch(learner)
    params, after, pairs = first_step(name, row_optimizer=rule, **SAMPLING)
    expected = plain_loss(learner, params, batch)
    np.testing.assert_allclose(np.divide(*pairs["loss"]), expected, rtol=DRAWN)
    gradients = gradients_of(after)
    assert_gradients(learner, params, gradients)
    for table, gradient in gradients.items():
        moved = params[table] + dense_change(gradient)
        found, rows = np.array(after.params[table]), touched_rows(table, batch)
        np.testing.assert_allclose(found, moved, rtol=1e-9, err_msg=table)
        assert (rows is None) == (table.split("_")[0] not in ROWS)
        if rows is not None:
            # Bit by bit.
            np.testing.assert_array_equal(found[~rows], params[table][~rows])
            assert (found[rows] != params[table][rows]).any(), table
            assert not rows.all() or table.startswith("level1"), table


def test_the_first_step_of_rows_is_that_of_the_dense_rule():
    """As the programs compute it."""
    _, dense, _ = first_step("vbpr", **SAMPLING)
    _, rows, _ = first_step("vbpr", row_optimizer="lazy", **SAMPLING)
    for name, expected in dense.params.items():
        np.testing.assert_allclose(
            rows.params[name], expected, rtol=1e-12, atol=1e-14, err_msg=name
        )


@pytest.mark.parametrize("changes", [{}, SAMPLING, {"loss__user_weight": 0.0}])
def test_an_interaction_counts_its_weight_in_both_tasks(changes):
    """A weighted mean, whatever the weights' scale."""
    learner = make_learner("vbpr", **changes)
    batch = make_batch(learner)
    losses = []
    for scale in (1, 100):
        batch["weights"] = scale * np.linspace(0.5, 3, len(USERS))
        losses.append(measure(learner, batch)["loss"])
    params = start(learner).params
    assert losses == pytest.approx([plain_loss(learner, params, batch)] * 2, rel=DRAWN)
    del batch["weights"]
    assert losses[0] != pytest.approx(measure(learner, batch)["loss"], rel=1e-4)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_every_rule(name, rule):
    """A step gives back a state of the same form, so that another can follow."""
    learner = make_learner(
        name, row_optimizer=rule, **({} if rule == "dense" else SAMPLING)
    )
    state, batch = (
        jax.eval_shape(functools.partial(start, learner)),
        make_batch(learner),
    )
    after, _ = jax.eval_shape(learner.step, state, batch, KEY)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for new, old in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        assert (new.shape, new.dtype) == (old.shape, old.dtype)
    by_row = {n for n in after.params if touched_rows(n, batch) is not None}
    assert set(after.optimizer.moments) == by_row
    assert bool(by_row) == (rule != "dense")


def test_a_user_who_is_drawn_twice_counts_twice_and_the_own_one_once():
    """Against numbers written out: users 4, 1, 4, 2 are drawn of 5."""
    learner = make_learner("vbpr", **SAMPLING)
    params, _, pairs = first_step("vbpr", **SAMPLING)
    batch = make_batch(learner)
    first = {k: batch[k][:1, :1] for k in ("items", "leaves", "features")}
    s = [
        np.exp(
            plain_scores(learner, params, {**first, "users": np.array([user])})[0, 0]
        )
        for user in range(plain.USERS)
    ]
    one = np.log((s[1] + 5 / 4 * (s[4] + s[4] + s[2])) / s[1])
    alone = {k: x[:1] if k != "sampled_users" else x for k, x in batch.items()}
    changes = {"loss__item_weight": 0.0, "loss__user_weight": 1.0, **SAMPLING}
    np.testing.assert_allclose(
        plain_loss(make_learner("vbpr", **changes), params, alone), one, rtol=1e-12
    )
    expected = plain_loss(learner, params, batch)
    np.testing.assert_allclose(np.divide(*pairs["loss"]), expected, rtol=DRAWN)


def test_every_user_drawn_once_is_the_exact_second_task():
    learner = make_learner(**SAMPLING)
    batch = {
        **make_batch(learner),
        "sampled_users": np.array([3, 0, 4, 2, 1], np.int32),
    }
    found = measure(learner, batch)
    _, _, pairs = first_step("vbpr")
    for name in ("loss", "pairs", "users"):
        np.testing.assert_allclose(found[name], np.divide(*pairs[name]), rtol=DRAWN)


@pytest.mark.parametrize("softmax", ["exact", "sampled"])
def test_other_users_of_an_item_are_left_out_where_asked(softmax):
    learner = make_learner(loss__mask_other_users=True, loss__softmax=softmax)
    batch, params = make_batch(learner), start(learner).params
    expected = plain_loss(learner, params, batch)
    np.testing.assert_allclose(measure(learner, batch)["loss"], expected, rtol=DRAWN)
    del batch["others"]
    assert plain_loss(learner, params, batch) > expected + 0.01


@pytest.mark.parametrize("rule", ["dense", "lazy"])
def test_the_first_task_alone_has_its_weight(rule):
    changes = {
        "row_optimizer": rule,
        "loss__user_weight": 0.0,
        "loss__item_weight": 0.5,
    }
    learner = make_learner("deepstyle", **changes)
    params, after, pairs = first_step("deepstyle", **changes)
    scores = plain_scores(learner, params, make_batch(learner))
    expected = 0.5 * np.log1p(np.exp(scores[:, 1:] - scores[:, :1])).mean()
    np.testing.assert_allclose(np.divide(*pairs["loss"]), expected, rtol=1e-12)
    assert "users" not in pairs
    assert_gradients(learner, params, gradients_of(after))
    moved = np.any(after.params["user_style"] != params["user_style"], axis=1)
    np.testing.assert_array_equal(np.flatnonzero(moved), np.unique(USERS))


def test_sums_in_place_of_means():
    """6 pairs and 3 positives."""
    learner = make_learner(loss__reduction="sum")
    found = measure(learner, make_batch(learner))["loss"]
    _, _, pairs = first_step("vbpr")
    first, second = (np.divide(*pairs[name]) for name in ("pairs", "users"))
    np.testing.assert_allclose(found, 0.75 * 6 * first + 0.25 * 3 * second, rtol=1e-12)
    expected = plain_loss(learner, start(learner).params, make_batch(learner))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("softmax", ["exact", "sampled"])
@pytest.mark.parametrize("rule", ["dense", "lazy"])
def test_the_penalty_is_on_all_that_a_step_updates(rule, softmax):
    """No bias, no row that rests; with the exact second task every user's row."""
    learner = make_learner(
        "vbpr", row_optimizer=rule, loss__penalty=0.5, loss__softmax=softmax
    )
    batch, params = make_batch(learner), start(learner).params
    expected = plain_loss(learner, params, batch)
    for name, table in params.items():
        rows = touched_rows(name, batch)
        if "bias" not in name:
            expected += 0.5 * np.sum(np.square(table if rows is None else table[rows]))
    np.testing.assert_allclose(measure(learner, batch)["loss"], expected, rtol=DRAWN)


def test_how_many_negatives_stand_below_the_positive():
    learner = make_learner("deepstyle")
    params, _, pairs = first_step("deepstyle")
    scores = plain_scores(learner, params, make_batch(learner)).tolist()
    below = sum(row[0] > negative for row in scores for negative in row[1:])
    assert 0 < below < 6
    np.testing.assert_allclose(np.divide(*pairs["ahead"]), below / 6, rtol=1e-6)


def test_current_params_bring_resting_rows_to_where_the_dense_rule_has_them():
    """After the first step only item 0 and leaf 0 are met, and users 1 and 3."""
    later = {"items": np.zeros_like(ITEMS), "leaves": np.zeros_like(LEAVES)}
    found = {}
    for rule in ("dense", "lazy_corrected"):
        learner = make_learner(
            "deepstyle",
            row_optimizer=rule,
            loss__user_weight=0.0,
            optimizer__weight_decay=0.25,
        )
        state, run = start(learner), jax.jit(learner.step)
        for batch in (
            make_batch(learner),
            *(make_batch(learner, k, **later) for k in (4, 5)),
        ):
            state, _ = run(state, batch, KEY)
        found[rule] = state.params, jax.jit(learner.current_params)(state)
    jax.tree.map(np.testing.assert_array_equal, *found["dense"])
    stale, current = found["lazy_corrected"]
    dense, _ = found["dense"]
    for name, expected in dense.items():
        np.testing.assert_allclose(
            current[name], expected, rtol=1e-5, atol=1e-6, err_msg=name
        )
    # They were still moving when their rest began.
    for name, rest in (("item_factor", [3, 5, 8]), ("leaf_style", [2, 4])):
        gap = np.abs(np.asarray(dense[name]) - stale[name]).max(axis=1)
        assert (gap[rest] > 0.5 * RATE).all()
        assert gap[0] < 1e-5


def test_the_config_names_the_model():
    """Widths: a quarter for each level, and half for factors where there are any."""
    learner = make_learner("coarse-fine", model__level_widths=())
    assert learner.model.category_widths == (3, 3, 3)
    sizes = {
        name: {k: v.shape for k, v in start(make_learner(name)).params.items()}
        for name in MODELS
    }
    assert sizes["vbpr"]["item_factor"] == (9, 6)
    assert sizes["vbpr"]["visual_matrix"] == (6, 6)
    assert sizes["vbpr-i"]["visual_matrix"] == (12, 6)
    assert [sizes["sherlock-i"][f"level{k}_matrix"][1] for k in (1, 2, 3)] == [6, 3, 3]
    assert sizes["deepstyle"]["item_factor"] == (9, 12)
    for name in MODELS:
        factors = name in ("vbpr", "sherlock", "deepstyle")
        assert ("item_factor" in sizes[name]) == factors
    plainly = make_learner("vbpr-i", model__user_bias=False)
    assert "user_bias" in sizes["vbpr-i"]
    assert "user_bias" not in start(plainly).params


def test_the_first_state_is_a_function_of_the_seed():
    one, again, other = (
        make_learner("deepstyle", train__seed=seed, train__steps=steps).init().params
        for seed, steps in ((0, 9), (0, 8), (1, 9))
    )
    jax.tree.map(np.testing.assert_array_equal, one, again)
    for name in ("user_style", "visual_matrix", "leaf_style", "item_factor"):
        assert (one[name] != other[name]).all(), name


def test_the_step_can_be_imported_without_data_libraries():
    libraries = ("pandas", "grain", "orbax", "tensorflow_datasets")
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in libraries)
    root = pathlib.Path(step.__file__).parents[1]
    code = f"import sys; {blocked}; import recsys.step"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
