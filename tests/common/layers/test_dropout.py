import jax
import jax.numpy as jnp
import numpy as np

from common.layers.dropout import Dropout
from common.parallel.devices import Devices


def drop(x, rate=0.25, train=True, devices=None):
    module = Dropout(rate, devices) if devices else Dropout(rate)
    return module.apply({}, x, train=train, rngs={"dropout": jax.random.key(1)})


def test_kept_entries_are_scaled_and_the_share_is_the_rate():
    x = jnp.full((400, 50), 3.0)
    found = np.asarray(drop(x))
    assert set(np.unique(found)) == {0.0, np.float32(4.0)}
    share = (found == 0).mean()
    assert abs(share - 0.25) < 4 * np.sqrt(0.25 * 0.75 / found.size)


def test_nothing_happens_in_evaluation_or_at_rate_zero():
    x = jnp.arange(6.0).reshape(2, 3)
    assert drop(x, train=False) is x
    assert drop(x, rate=0.0) is x


def test_pmap_drops_what_jit_drops():
    x = np.random.default_rng(0).normal(size=(16, 7)).astype(np.float32)
    parts = jax.pmap(lambda part: drop(part, devices=Devices("data")), "data")(
        x.reshape(8, 2, 7)
    )
    np.testing.assert_array_equal(
        np.asarray(parts).reshape(16, 7), drop(jnp.asarray(x))
    )
