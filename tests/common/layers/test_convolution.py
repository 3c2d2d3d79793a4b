import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.layers.convolution import Convolution, convolve, multiply


def convolve_by_loops(x, kernel, stride):
    size = kernel.shape[0]
    pad = size // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    rows = range(0, x.shape[1] - size + 1, stride)
    columns = range(0, x.shape[2] - size + 1, stride)
    y = np.zeros((x.shape[0], len(rows), len(columns), kernel.shape[3]))
    for r, row in enumerate(rows):
        for c, column in enumerate(columns):
            window = x[:, row : row + size, column : column + size]
            y[:, r, c] = np.einsum("bijc,ijcd->bd", window, kernel)
    return y


@pytest.mark.parametrize(
    ("height", "width", "size", "stride"),
    [
        (5, 4, 1, 1),
        (5, 4, 1, 2),
        (5, 6, 3, 1),
        (5, 6, 3, 2),
        (2, 2, 3, 1),  # products of patches from here on
        (3, 4, 3, 2),
        (1, 5, 3, 1),
        (2, 3, 5, 2),
    ],
)
def test_equals_loops_with_gradients(height, width, size, stride):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, height, width, 3))
    kernel = rng.normal(size=(size, size, 3, 4))
    expected = convolve_by_loops(x, kernel, stride)
    dy = rng.normal(size=expected.shape)
    with jax.enable_x64(True):
        found, pull = jax.vjp(lambda x, k: convolve(x, k, stride), x, kernel)
        dx, dkernel = map(np.asarray, pull(jnp.asarray(dy)))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    # A convolution is linear in either input: <dy, conv(v)> = <gradient, v>.
    v, w = rng.normal(size=x.shape), rng.normal(size=kernel.shape)
    inner = (dy * convolve_by_loops(v, kernel, stride)).sum()
    np.testing.assert_allclose((dx * v).sum(), inner, rtol=1e-11)
    inner = (dy * convolve_by_loops(x, w, stride)).sum()
    np.testing.assert_allclose((dkernel * w).sum(), inner, rtol=1e-11)


@pytest.mark.parametrize(("channels", "features"), [(2, 5), (5, 2)])
def test_product_gradient(channels, features):
    rng = np.random.default_rng(0)
    x, kernel, dy = (
        rng.normal(size=shape)
        for shape in ((7, channels), (channels, features), (7, features))
    )
    with jax.enable_x64(True):
        y, pull = jax.vjp(multiply, x, kernel)
        dx, dkernel = pull(jnp.asarray(dy))
    np.testing.assert_allclose(y, x @ kernel, rtol=1e-12)
    np.testing.assert_allclose(dx, dy @ kernel.T, rtol=1e-12)
    np.testing.assert_allclose(dkernel, x.T @ dy, rtol=1e-12)


def test_module_starts_with_he_variance_of_the_outputs():
    module = Convolution(64, size=3)
    variables = module.init(jax.random.key(0), jnp.zeros((1, 4, 4, 32)))
    kernel = variables["params"]["kernel"]
    assert kernel.shape == (3, 3, 32, 64)
    assert kernel.dtype == jnp.float32
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 64)), rtol=0.02)
    low = Convolution(64, dtype=jnp.bfloat16).apply(variables, jnp.ones((1, 4, 4, 32)))
    assert low.dtype == jnp.bfloat16
