import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.softmax import sampled_cross_entropy, user_cross_entropy


def draw(rows=6, users=23, width=4, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(rows, width)).astype(dtype),
        rng.normal(size=(users, width)).astype(dtype),
        rng.integers(0, users, rows).astype(np.int32),
        rng.normal(size=rows).astype(dtype),
    )


def plain(items, users, own, cotangent, counts=None):
    """Eq. 8 in its full form, float64, with the gradients of sum(l cotangent)."""
    items, users = np.float64(items), np.float64(users)
    scores = items @ users.T
    shares = np.exp(scores) if counts is None else np.exp(scores) * counts
    total = shares.sum(1, keepdims=True)
    rows = np.arange(len(items))
    losses = np.log(total[:, 0]) - scores[rows, own]
    slope = shares / total
    slope[rows, own] -= 1
    slope *= cotangent[:, None]
    return losses, slope @ users, slope.T @ items


def exact(items, users, own, cotangent, **options):
    losses, pull = jax.vjp(
        lambda x, u: user_cross_entropy(x, u, own, **options), items, users
    )
    return losses, *pull(cotangent)


# 23 users: one chunk, chunks that do and don't divide them, one user at a time.
@pytest.mark.parametrize("chunk", [2048, 23, 12, 5, 1])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)]
)
def test_equals_the_full_form_with_gradients(chunk, dtype, tolerance):
    arrays = draw(dtype=dtype)
    with jax.enable_x64(dtype == np.float64):
        found = jax.jit(lambda *x: exact(*x, chunk=chunk))(*arrays)
    for value, expected in zip(found, plain(*arrays), strict=True):
        assert value.dtype == dtype
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)


def test_equals_automatic_gradients_of_the_full_form():
    items, users, own, _ = draw()

    def full(x, u):
        scores = x @ u.T
        mine = jnp.take_along_axis(scores, own[:, None], axis=1)[:, 0]
        return jnp.mean(jax.nn.logsumexp(scores, axis=1) - mine)

    def chunked(x, u):
        return jnp.mean(user_cross_entropy(x, u, own, chunk=6))

    with jax.enable_x64(True):
        expected = jax.jit(jax.value_and_grad(full, (0, 1)))(items, users)
        found = jax.jit(jax.value_and_grad(chunked, (0, 1)))(items, users)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12),
        found,
        expected,
    )


def test_large_scores_do_not_overflow():
    items, users, own, cotangent = draw(dtype=np.float32)
    found = jax.jit(lambda *x: exact(*x, chunk=5))(items * 100, users, own, cotangent)
    scores = np.float64(items * 100) @ np.float64(users).T
    top = scores.max(1)
    expected = top + np.log(np.exp(scores - top[:, None]).sum(1))
    expected -= scores[np.arange(6), own]
    np.testing.assert_allclose(found[0], expected, rtol=1e-5, atol=1e-3)
    assert all(np.isfinite(value).all() for value in found)


@jax.jit
def leaving_out(items, users, own, cotangent, others):
    return exact(items, users, own, cotangent, others=others, chunk=3)


@settings(max_examples=30)
@given(st.lists(st.integers(-1, 7), min_size=18, max_size=18))
def test_other_users_are_left_out_but_never_the_own(others):
    arrays = draw(rows=3, users=8)
    others = np.array(others, np.int32).reshape(3, 6)
    counts = np.ones((3, 8))
    for b, user in np.ndindex(3, 8):
        if user in others[b] and user != arrays[2][b]:
            counts[b, user] = 0
    with jax.enable_x64(True):
        found = leaving_out(*arrays, others)
    for value, expected in zip(found, plain(*arrays, counts), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-12)


def test_chunks_hold_a_twentieth_of_the_full_form():
    """200,000 users and 64 items, value and gradients."""
    shapes = [(64, 130), (200_000, 130), (64,), (64,)]
    types = [jnp.float32, jnp.float32, jnp.int32, jnp.float32]
    inputs = list(map(jax.ShapeDtypeStruct, shapes, types))

    def full(items, users, own, cotangent):
        def losses(x, u):
            scores = x @ u.T
            mine = jnp.take_along_axis(scores, own[:, None], axis=1)[:, 0]
            return jax.nn.logsumexp(scores, axis=1) - mine

        value, pull = jax.vjp(losses, items, users)
        return value, *pull(cotangent)

    def temporaries(run):
        compiled = jax.jit(run).lower(*inputs).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(exact) < 0.05 * temporaries(full)


def test_every_user_drawn_once_is_the_exact_form():
    items, users, own, _ = draw()
    with jax.enable_x64(True):
        found = sampled_cross_entropy(
            items,
            users[own],
            users,
            np.full(23, -np.log(23)),
            left_out=np.arange(23)[None] == own[:, None],
        )
    expected = plain(items, users, own, np.zeros(6))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_sum_over_users_is_estimated_without_bias():
    """Mean over all draws of two users, each weighed by its probability."""
    items, users, own, _ = draw(rows=3, users=4)
    probability = np.array([0.5, 0.2, 0.2, 0.1])
    expected = np.zeros(3)
    with jax.enable_x64(True):
        for pair in np.ndindex(4, 4):
            drawn = np.array(pair)
            losses = sampled_cross_entropy(
                items,
                users[own],
                users[drawn],
                np.log(probability[drawn]),
                left_out=drawn[None] == own[:, None],
            )
            scores = (items * users[own]).sum(1)
            total = np.exp(np.asarray(losses) + scores)
            expected += probability[drawn].prod() * total
    np.testing.assert_allclose(expected, np.exp(items @ users.T).sum(1), rtol=1e-10)
