"""What every bijector must keep, and variables to test it with."""

import jax
import jax.numpy as jnp
import numpy as np

FORWARD, INVERSE = "forward_and_log_det", "inverse_and_log_det"


def drawn(module, size, condition=4, scale=1.0, method=FORWARD):
    """Variables with every entry drawn, running variances above 0."""
    arrays = np.zeros((2, size)), np.zeros((2, condition))
    shapes = jax.eval_shape(
        lambda: module.init(jax.random.key(0), *arrays, method=method)
    )
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        width = np.sqrt(max(leaf.shape, default=1))
        values = scale * rng.normal(size=leaf.shape) / width
        values = np.exp(values) if "var" in jax.tree_util.keystr(path) else values
        return values.astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def check(module, size):
    """Log-determinants are those of the Jacobian, and the way back is one, in float64."""
    with jax.enable_x64(True):
        variables = drawn(module, size)
        rng = np.random.default_rng(0)
        x, condition = rng.normal(size=(3, size)), rng.normal(size=(3, 4))

        @jax.jit
        def run(x, condition):
            def forward(x, condition):
                found = module.apply(
                    variables, x[None], condition[None], method=FORWARD
                )
                return found[0][0], found

            jacobian, (u, log_det) = jax.vmap(jax.jacfwd(forward, has_aux=True))(
                x, condition
            )
            u, log_det = u[:, 0], log_det[:, 0]
            back, inverse = module.apply(variables, u, condition, method=INVERSE)
            return log_det, jnp.linalg.slogdet(jacobian)[1], inverse, back

        log_det, expected, inverse, back = run(x, condition)
        np.testing.assert_allclose(log_det, expected, atol=1e-8)
        np.testing.assert_allclose(inverse, -log_det, atol=1e-8)
        np.testing.assert_allclose(back, x, atol=1e-8)
