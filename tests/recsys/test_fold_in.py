import jax
import numpy as np
import pytest

from recsys.config import FoldInConfig
from recsys.fold_in import fold_in
from recsys.models.coarse_fine import CoarseFine
from recsys.models.deepstyle import DeepStyle
from recsys.models.sherlock import Sherlock
from recsys.models.vbpr import Vbpr
from tests.recsys import plain_models as plain

SIZES = {"tree": plain.TREE, **plain.SIZES}
OURS = CoarseFine(width=8, **SIZES)
WITH_BIAS = Vbpr(width=5, factor_width=2, user_bias_used=True, **SIZES)
# Three new users with three, one and no interactions; two negatives for each.
USERS = np.array([1, 0, 1, 1])
COUNT = 3
NUMBERS = np.array([1, 3, 0])


@pytest.fixture(autouse=True)
def _compile_quickly_in_float64():
    with jax.enable_x64(True):
        yield


def draw(model, scale=1.0):
    """(parameters, items, leaves, features); some items are unknown."""
    params = {k: scale * v for k, v in plain.draw_params(model).items()}
    _, items, leaves, features = plain.draw_batch(len(USERS), 3)
    return params, items, leaves, features


def fold(model, params, batch, users=USERS, count=COUNT, **settings):
    config = FoldInConfig(**settings)
    params = jax.tree.map(jax.numpy.asarray, params)
    found = fold_in(model, params, config, users, *batch, count)
    return {name: np.asarray(rows) for name, rows in found.items()}


def means(params, count=COUNT):
    return {
        name: np.repeat(table.mean(axis=0, keepdims=True), count, axis=0)
        for name, table in params.items()
        if name.startswith("user_")
    }


def plain_loss(model, params, rows, batch, penalty, users=USERS):
    """J_1, a mean for each user, and the penalty, as the module's docstring has them."""
    scores = plain.plain_scores(model, {**params, **rows}, users, *batch)
    start, total = means(params), 0.0
    for user in set(users.tolist()):
        own = scores[users == user]
        total += np.logaddexp(0, own[:, 1:] - own[:, :1]).mean()
        for name, table in rows.items():
            moved = ((table[user] - start[name][user]) ** 2).sum()
            total += penalty / (2 * len(own)) * moved
    return total


def plain_gradient(function, rows, step=1e-5):
    """By central differences, one number at a time."""
    gradient = {name: np.zeros_like(table) for name, table in rows.items()}
    for name, table in rows.items():
        for place in np.ndindex(*table.shape):
            values = []
            for sign in (1, -1):
                moved = table.copy()
                moved[place] += sign * step
                values.append(function({**rows, name: moved}))
            gradient[name][place] = (values[0] - values[1]) / (2 * step)
    return gradient


def test_it_is_adam_on_the_stated_loss():
    """Three steps, with gradients by numerical differences."""
    params, *batch = draw(OURS, 0.5)
    penalty, rate = 0.3, 0.05
    rows = means(params)
    first = {name: 0 for name in rows}
    second = {name: 0 for name in rows}
    for step in range(1, 4):
        gradient = plain_gradient(
            lambda moved: plain_loss(OURS, params, moved, batch, penalty), rows
        )
        for name, slope in gradient.items():
            first[name] = 0.9 * first[name] + 0.1 * slope
            second[name] = 0.999 * second[name] + 0.001 * slope**2
            change = first[name] / (1 - 0.9**step)
            change /= np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8
            # Adam makes a large step even of a rounding error.
            rows[name] = rows[name] - rate * np.where(abs(slope) > 1e-8, change, 0)
    found = fold(OURS, params, batch, steps=3, learning_rate=rate, penalty=penalty)
    assert sorted(found) == ["user_bias", "user_preference"]
    np.testing.assert_allclose(
        found["user_preference"], rows["user_preference"], atol=1e-6
    )
    visual = slice(-OURS.visual_width, None)
    np.testing.assert_allclose(
        found["user_bias"][:, visual], rows["user_bias"][:, visual], atol=1e-6
    )


@pytest.fixture(scope="module")
def free():
    """Our model, folded in for many steps without a penalty: (batch, before, after)."""
    with jax.enable_x64(True):
        params, *batch = draw(OURS, 0.5)
        kept = {name: table.copy() for name, table in params.items()}
        rows = fold(OURS, params, batch, steps=60, learning_rate=0.05, penalty=0.0)
        assert all((params[name] == kept[name]).all() for name in params)
        return params, batch, rows


def test_without_a_pull_the_given_items_come_out_on_top(free):
    params, batch, rows = free
    start = means(params)
    before = plain_loss(OURS, params, start, batch, penalty=0)
    assert plain_loss(OURS, params, rows, batch, penalty=0) < 0.2 * before
    scores = plain.plain_scores(OURS, {**params, **start}, USERS, *batch)
    assert (scores[:, :1] < scores[:, 1:]).any()
    scores = plain.plain_scores(OURS, {**params, **rows}, USERS, *batch)
    assert (scores[:, :1] > scores[:, 1:]).all()


def test_a_strong_pull_holds_all_rows_at_the_mean(free):
    params, batch, loose = free
    rows = fold(OURS, params, batch, steps=60, learning_rate=0.05, penalty=1e6)
    for name, mean in means(params).items():
        assert abs(rows[name] - mean).max() < 0.01, name
    assert abs(loose["user_preference"] - means(params)["user_preference"]).max() > 0.5


def test_who_has_no_interactions_is_the_mean_of_all(free):
    params, _, rows = free
    for name, mean in means(params).items():
        np.testing.assert_allclose(rows[name][2], mean[2], rtol=1e-12)


def test_users_do_not_change_each_other(free):
    params, batch, rows = free
    own = [array[USERS == 1] for array in batch]
    alone = fold(
        OURS,
        params,
        own,
        users=np.zeros(3, int),
        count=1,
        steps=60,
        learning_rate=0.05,
        penalty=0.0,
    )
    visual = slice(-OURS.visual_width, None)
    for name, part in (("user_preference", slice(None)), ("user_bias", visual)):
        np.testing.assert_allclose(
            alone[name][0, part], rows[name][1, part], rtol=1e-6, atol=1e-8
        )


def test_many_interactions_move_a_user_further_than_one():
    """The same one three times: its mean loss is that of one, the penalty a third."""
    params, *batch = draw(OURS, 0.5)
    same = [array[[0, 0, 0, 0]] for array in batch]
    rows = fold(OURS, params, same, steps=150, learning_rate=0.05, penalty=0.1)
    moved = (rows["user_preference"] - means(params)["user_preference"])[:2]
    once, thrice = np.linalg.norm(moved, axis=1)
    assert thrice > 1.2 * once > 0.1


@pytest.mark.parametrize(
    "model",
    [
        WITH_BIAS,
        Sherlock(width=4, factor_width=0, **SIZES),
        DeepStyle(width=3, item_factors=False, **SIZES),
    ],
    ids=["vbpr", "sherlock-i", "deepstyle-i"],
)
def test_every_model_folds_users_in_and_keeps_the_rest(model):
    params, *batch = draw(model, 0.5)
    rows = fold(model, params, batch, steps=40, learning_rate=0.05, penalty=0.01)
    assert set(rows) == {name for name in params if name.startswith("user_")}
    start = means(params)
    losses = [plain_loss(model, params, own, batch, 0.01) for own in (start, rows)]
    assert losses[1] < 0.7 * losses[0]
    if "user_bias" in rows:  # the first task does not see it
        np.testing.assert_allclose(rows["user_bias"], start["user_bias"], atol=0.01)
