import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.layers.transformer import Block, SelfAttention, attend

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, 8)).astype(np.float32)
MASK = np.array([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0]], bool)


def draw_params(module, *inputs):
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes
    )


ATTENTION = SelfAttention(2)
PARAMS = draw_params(ATTENTION, X, MASK)
APPLY = jax.jit(lambda x, mask: ATTENTION.apply({"params": PARAMS}, x, mask))


def plain_attention(x, mask):
    """Head by head, place by place, in float64."""
    qkv = x.astype(np.float64) @ PARAMS["qkv"]["kernel"] + PARAMS["qkv"]["bias"]
    out = np.zeros(x.shape)
    for head in (0, 1):
        q, k, v = (qkv[:, part * 8 + head * 4 :][:, :4] for part in range(3))
        for place in range(len(x)):
            weights = np.exp(k @ q[place] / 2.0) * mask
            total = weights.sum()
            means = (weights / total) @ v if total else np.zeros(4)
            out[place, head * 4 : head * 4 + 4] = means
    return out @ PARAMS["out"]["kernel"] + PARAMS["out"]["bias"]


def test_attention_equals_one_that_is_written_out():
    seen = APPLY(X, MASK)
    for row in range(2):
        expected = plain_attention(X[row], MASK[row])
        np.testing.assert_allclose(seen[row], expected, rtol=1e-4, atol=1e-5)


def test_a_sequence_of_padding_alone_gives_zeros_and_finite_gradients():
    means, weights = jax.jit(attend)(X, X, X, np.zeros((2, 1, 5), bool))
    assert not np.any(means) and not np.any(weights)

    def loss(x):
        return (attend(x, x, x, MASK[:, None])[0] ** 2).sum()

    gradient = jax.jit(jax.grad(loss))(X)
    assert np.all(np.isfinite(gradient))


def test_other_padding_changes_no_bit_of_what_is_there():
    other = np.where(MASK[..., None], X, 1e3 * X)
    seen, again = APPLY(X, MASK), APPLY(other, MASK)
    np.testing.assert_array_equal(np.asarray(seen)[0, :3], np.asarray(again)[0, :3])


def test_without_a_mask_all_places_are_seen():
    plain = jax.jit(lambda x: ATTENTION.apply({"params": PARAMS}, x))(X)
    np.testing.assert_allclose(plain, APPLY(X, np.ones((2, 5), bool)), rtol=1e-5)


def test_softmax_is_in_float32_under_half_precision():
    x = jnp.asarray(X, jnp.bfloat16)
    means, weights = attend(x, x, x, None)
    assert (means.dtype, weights.dtype) == (jnp.bfloat16, jnp.float32)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="3 heads do not divide a width of 8"):
        jax.eval_shape(SelfAttention(3).init, jax.random.key(0), X)


def test_a_block_is_residual_with_its_norms_in_front():
    block = Block(2)
    params = draw_params(block, X, MASK)
    params["attention"] = PARAMS
    seen = jax.jit(lambda x: block.apply({"params": params}, x, MASK))(X)

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
        return x * params[name]["scale"] + params[name]["bias"]

    def dense(x, name):
        return x @ params[name]["kernel"] + params[name]["bias"]

    x = X + np.asarray(APPLY(norm(X, "attention_norm").astype(np.float32), MASK))
    hidden = np.asarray(jax.nn.gelu(dense(norm(x, "dense_norm"), "hidden")))
    np.testing.assert_allclose(seen, x + dense(hidden, "out"), rtol=1e-3, atol=1e-3)


def test_without_attention_a_place_sees_itself_alone():
    block = Block(2, attention=False)
    params = draw_params(block, X)
    other = X.copy()
    other[:, 1:] += 1.0
    apply = jax.jit(lambda x: block.apply({"params": params}, x))
    seen, again = apply(X), apply(other)
    np.testing.assert_array_equal(seen[:, 0], again[:, 0])
