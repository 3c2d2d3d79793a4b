import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from common.parallel import precision


def test_bfloat16_computes_low_and_stores_high():
    layer = nn.Dense(2, dtype=precision.compute_dtype("bfloat16"))
    x = jnp.ones((1, 3))
    variables = layer.init(jax.random.key(0), x)
    assert variables["params"]["kernel"].dtype == jnp.float32
    assert layer.apply(variables, x).dtype == jnp.bfloat16


def test_names():
    assert [precision.compute_dtype(name) for name in precision.PRECISIONS] == [
        jnp.float32,
        jnp.bfloat16,
    ]
    with pytest.raises(ValueError, match="float16"):
        precision.compute_dtype("float16")
