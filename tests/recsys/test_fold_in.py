import jax
import numpy as np
import pytest

from recsys.baselines import DeepStyle, Sherlock, Vbpr
from recsys.config import FoldInConfig
from recsys.fold_in import fold_in
from recsys.model import CoarseFine
from tests.quick_compilation import compiling_quickly
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
    with compiling_quickly(), jax.enable_x64(True):
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


def plain_loss(model, params, rows, batch, pull, users=USERS):
    """J_1, a mean for each user, and the pull, as the module's docstring has them."""
    scores = plain.plain_scores(model, {**params, **rows}, users, *batch)
    start, total = means(params), 0.0
    for user in set(users.tolist()):
        own = scores[users == user]
        total += np.logaddexp(0, own[:, 1:] - own[:, :1]).mean()
        for name, table in rows.items():
            moved = ((table[user] - start[name][user]) ** 2).sum()
            total += pull / (2 * len(own)) * moved
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
    pull, rate = 0.3, 0.05
    rows = means(params)
    first = {name: 0 for name in rows}
    second = {name: 0 for name in rows}
    for step in range(1, 4):
        gradient = plain_gradient(
            lambda moved: plain_loss(OURS, params, moved, batch, pull), rows
        )
        for name, slope in gradient.items():
            first[name] = 0.9 * first[name] + 0.1 * slope
            second[name] = 0.999 * second[name] + 0.001 * slope**2
            change = first[name] / (1 - 0.9**step)
            change /= np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8
            # Adam makes a large step even of a rounding error.
            rows[name] = rows[name] - rate * np.where(abs(slope) > 1e-8, change, 0)
    found = fold(OURS, params, batch, steps=3, learning_rate=rate, pull=pull)
    assert sorted(found) == ["user_bias", "user_preference"]
    np.testing.assert_allclose(found["user_preference"], rows["user_preference"], atol=1e-6)
    visual = slice(-OURS.visual_width, None)
    np.testing.assert_allclose(
        found["user_bias"][:, visual], rows["user_bias"][:, visual], atol=1e-6
    )
