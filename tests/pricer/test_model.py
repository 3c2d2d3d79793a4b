import jax
import jax.numpy as jnp
import numpy as np

from pricer.model import Perceptron, Pricer


def test_the_perceptron_by_hand():
    weights = {
        "hidden_0": {"kernel": [[1.0, -1.0], [2.0, 0.0]], "bias": [0.0, 0.5]},
        "output": {"kernel": [[3.0], [4.0]], "bias": [-1.0]},
    }
    params = jax.tree.map(jnp.asarray, weights, is_leaf=lambda x: isinstance(x, list))
    found = Perceptron(hidden=(2,)).apply(
        {"params": params}, jnp.array([[1.0, 2.0], [-1.0, 0.0]])
    )
    # relu(5), relu(-0.5); relu(-1), relu(1.5)
    np.testing.assert_allclose(found, [3 * 5 - 1, 4 * 1.5 - 1])


def test_the_papers_sizes():
    """8,192 + 12 inputs, two hidden layers of 512, twice."""
    shapes = jax.eval_shape(
        Pricer().init, jax.random.key(0), jnp.zeros((1, 8192 + 12))
    )["params"]
    one = (8204 + 1) * 512 + (512 + 1) * 512 + (512 + 1)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 2 * one


def test_regression_and_gate_share_no_weights():
    network = Pricer(hidden=(3,))
    inputs = jax.random.normal(jax.random.key(1), (4, 5))
    params = network.init(jax.random.key(0), inputs)["params"]

    def outputs(params):
        return network.apply({"params": params}, inputs)

    price = jax.grad(lambda p: outputs(p).log_price.sum())(params)
    gate = jax.grad(lambda p: outputs(p).gate_logit.sum())(params)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(price["gate"]))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gate["regression"]))
    assert any(np.any(leaf) for leaf in jax.tree.leaves(gate["gate"]))
