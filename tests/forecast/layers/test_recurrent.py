import functools

import jax
import numpy as np
import pytest
from scipy.special import expit

from forecast.layers.recurrent import Recurrent

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 5, 3)).astype(np.float32)


def drawn(module, x):
    shapes = jax.eval_shape(
        functools.partial(module.init, method="begin"), jax.random.key(0), x
    )
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes
    )


def gru(params, number, x):
    """Step by step, gate by gate."""
    w, b = params[f"inputs_{number}"]["kernel"], params[f"inputs_{number}"]["bias"]
    u, width = params[f"hidden_{number}"], len(params[f"hidden_{number}"])
    wr, wz, wn = (w[:, part * width :][:, :width] for part in range(3))
    br, bz, bn = (b[part * width :][:width] for part in range(3))
    ur, uz, un = (u[:, part * width :][:, :width] for part in range(3))
    h, out = np.zeros((len(x), width)), []
    for t in range(x.shape[1]):
        r = expit(x[:, t] @ wr + br + h @ ur)
        z = expit(x[:, t] @ wz + bz + h @ uz)
        n = np.tanh(x[:, t] @ wn + bn + r * (h @ un + params[f"bias_{number}"]))
        h = (1 - z) * n + z * h
        out.append(h)
    return np.stack(out, 1)


def lstm(params, number, x):
    w, b = params[f"inputs_{number}"]["kernel"], params[f"inputs_{number}"]["bias"]
    u, width = params[f"hidden_{number}"], len(params[f"hidden_{number}"])
    h = c = np.zeros((len(x), width))
    out = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ w + b + h @ u, 4, axis=1)
        c = expit(f) * c + expit(i) * np.tanh(g)
        h = expit(o) * np.tanh(c)
        out.append(h)
    return np.stack(out, 1)


@pytest.mark.parametrize(("kind", "plain"), [("gru", gru), ("lstm", lstm)])
@pytest.mark.parametrize("residual", [False, True])
def test_layers_equal_the_formula_written_out(kind, plain, residual):
    module = Recurrent(kind, width=4, layers=2, residual=residual)
    variables = drawn(module, X)
    params = variables["params"]
    found, _ = jax.jit(functools.partial(module.apply, method="begin"))(variables, X)
    first = plain(params, 0, X.astype(np.float64))
    second = plain(params, 1, first)
    expected = first + second if residual else second
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_reading_on_is_reading_at_once(kind):
    module = Recurrent(kind, width=4)
    variables = drawn(module, X)
    begin = jax.jit(functools.partial(module.apply, method="begin"))
    advance = jax.jit(functools.partial(module.apply, method="advance"))
    whole, last = begin(variables, X)
    first, carry = begin(variables, X[:, :2])
    second, carry = advance(variables, X[:, 2:], carry)
    np.testing.assert_allclose(np.concatenate([first, second], 1), whole, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), carry, last)


def test_axes_after_the_time_are_sequences_of_their_own():
    module = Recurrent("lstm", width=4)
    x = RNG.normal(size=(2, 5, 6, 3)).astype(np.float32)
    variables = drawn(module, X)
    begin = jax.jit(functools.partial(module.apply, method="begin"))
    found, _ = begin(variables, x)
    flat = np.moveaxis(x, 2, 1).reshape(12, 5, 3)
    expected, _ = begin(variables, flat)
    np.testing.assert_allclose(
        np.moveaxis(found, 2, 1).reshape(12, 5, 4), expected, atol=1e-6
    )
