import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.parallel.devices import Devices
from recsys import losses

# How far positives are ahead: scores 2 of 1 and 3, and -1 of 0.5 and -2.5.
AHEAD = np.array([[1.0, -1.0], [-1.5, 1.5]])


@pytest.fixture(autouse=True)
def _compile_quickly_in_float64():
    with jax.enable_x64(True):
        yield


def mean(pair):
    return pair[0] / pair[1]


def test_equation_7_by_hand():
    total, weight = losses.pairwise_loss(AHEAD)
    np.testing.assert_allclose(total, np.log1p(np.exp(-AHEAD)).sum(), rtol=1e-12)
    assert weight == 4
    slope = jax.grad(lambda ahead: mean(losses.pairwise_loss(ahead)))(AHEAD)
    np.testing.assert_allclose(slope, -1 / (1 + np.exp(AHEAD)) / 4, rtol=1e-8)


def test_equation_7_does_not_overflow():
    total, _ = losses.pairwise_loss(jnp.array([[-2e5], [2e5]]))
    np.testing.assert_array_equal(total, 2e5)


def test_masked_rows_and_negatives_do_not_count():
    padded = np.concatenate([AHEAD, [[np.nan, 1]]])
    total, weight = losses.pairwise_loss(padded, np.array([1.0, 1, 0]))
    exact = np.log1p(np.exp(-AHEAD))
    np.testing.assert_allclose(total, exact.sum(), rtol=1e-12)
    assert weight == 4
    total, weight = losses.pairwise_loss(AHEAD, np.array([[1.0, 0], [1, 1]]))
    np.testing.assert_allclose(total, exact.sum() - exact[0, 1], rtol=1e-12)
    assert weight == 3


def draw_vectors():
    rng = np.random.default_rng(0)
    items, users = rng.normal(size=(4, 3)), rng.normal(size=(7, 3))
    return items, users, np.array([5, 0, 5, 2])


def test_equation_8_by_hand():
    items, users, own = draw_vectors()
    mask = np.array([1.0, 1, 0, 1])
    total, weight = losses.user_loss(items, users, own, mask, chunk=3)
    exact = 0.0
    for b in (0, 1, 3):
        scores = [items[b] @ user for user in users]
        exact -= np.log(np.exp(scores[own[b]]) / np.exp(scores).sum())
    np.testing.assert_allclose(total, exact, rtol=1e-12)
    assert weight == 3
    # Only user 5 against user 0, and user 2 alone.
    others = np.array([[1, 2, 3, 4, 6], [1, 2, 3, 4, 6], [-1] * 5, [0, 1, 3, 4, 5]])
    others = np.concatenate([others, [[-1], [-1], [-1], [6]]], axis=1)
    total, _ = losses.user_loss(items, users, own, mask, others=others, chunk=3)
    gap = items @ (users[0] - users[5])
    exact = np.log1p(np.exp(gap[0])) + np.log1p(np.exp(-gap[1]))
    np.testing.assert_allclose(total, exact, rtol=1e-12)


def test_sampled_equation_8_by_hand():
    items, users, own = draw_vectors()
    mask = np.array([1.0, 0, 0, 1])
    drawn, probability = np.array([1, 5]), np.array([0.25, 0.5])
    total, weight = losses.sampled_user_loss(
        items,
        users[own],
        users[drawn],
        np.log(probability),
        mask,
        left_out=own[:, None] == drawn[None],
    )
    scores = np.exp(items @ users.T)
    first = (scores[0, 5] + scores[0, 1] / (2 * 0.25)) / scores[0, 5]
    last = scores[3, 2] + scores[3, 1] / (2 * 0.25) + scores[3, 5] / (2 * 0.5)
    np.testing.assert_allclose(
        total, np.log(first) + np.log(last / scores[3, 2]), rtol=1e-12
    )
    assert weight == 2


def test_equation_9_by_hand():
    first, second = (jnp.array(6.0), jnp.array(4.0)), (jnp.array(9.0), jnp.array(2.0))
    assert losses.joint_loss(first, second) == 0.75 * 1.5 + 0.25 * 4.5
    assert losses.joint_loss(first, second, weights=(1.0, 2.0)) == 1.5 + 9
    assert losses.joint_loss(first, second, reduction="sum") == 4.5 + 2.25
    assert losses.joint_loss(first) == 1.5
    nothing = jnp.array(0.0), jnp.array(0.0)
    assert losses.joint_loss(first, nothing) == 0.75 * 1.5


def test_gradient_of_equation_9_equals_that_of_the_plain_form():
    items, users, own = draw_vectors()
    negatives = np.random.default_rng(1).normal(size=(4, 2, 3))

    def plain(x, u):
        mine = jnp.sum(x * u[own], axis=1)
        theirs = jnp.einsum("be,bne->bn", u[own], negatives)
        first = -jnp.mean(jnp.log(jax.nn.sigmoid(mine[:, None] - theirs)))
        chances = jax.nn.softmax(x @ u.T, axis=1)
        second = -jnp.mean(jnp.log(chances[jnp.arange(4), own]))
        return 0.75 * first + 0.25 * second

    def joint(x, u):
        ahead = jnp.einsum("be,bne->bn", u[own], x[:, None] - negatives)
        return losses.joint_loss(
            losses.pairwise_loss(ahead), losses.user_loss(x, u, own, chunk=4)
        )

    found = jax.jit(jax.value_and_grad(joint, (0, 1)))(items, users)
    exact = jax.jit(jax.value_and_grad(plain, (0, 1)))(items, users)
    for value, expected in zip(
        jax.tree.leaves(found), jax.tree.leaves(exact), strict=True
    ):
        np.testing.assert_allclose(value, expected, rtol=1e-8, atol=1e-12)


def test_the_same_over_two_devices():
    """Each device has its own rows, one of them padding, and all users."""
    items, users, own = draw_vectors()
    mask, devices = np.array([1.0, 1, 1, 0]), Devices("data")
    ahead = np.random.default_rng(2).normal(size=(4, 3))

    def joint(x, a, y, m, devices):
        return losses.joint_loss(
            losses.pairwise_loss(a, m, devices),
            losses.user_loss(x, users, y, m, devices=devices),
        )

    spread = jax.vmap(lambda *a: joint(*a, devices), axis_name="data")
    halves = [a.reshape(2, 2, *a.shape[1:]) for a in (items, ahead, own, mask)]
    exact = joint(items, ahead, own, mask, losses.SINGLE)
    np.testing.assert_allclose(spread(*halves), [exact] * 2, rtol=1e-12)


def test_squared_norm_leaves_biases_out():
    rows = {
        "user_preference": jnp.array([[1.0, 2.0]]),
        "user_bias": jnp.array([[7.0, 7.0]]),
        "leaf_item_bias": jnp.array([7.0]),
        "leaf_matrix": jnp.array([[[3.0]]]),
    }
    assert losses.squared_norm(rows) == 1 + 4 + 9
