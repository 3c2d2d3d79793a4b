import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.models.projection import project


def plain(matrices, places, features, dy):
    """y and the gradients of sum(y dy), one row at a time."""
    y = np.zeros_like(dy)
    by_matrix, by_feature = np.zeros_like(matrices), np.zeros_like(features)
    for n, place in enumerate(places):
        y[n] = matrices[place] @ features[n]
        by_matrix[place] += np.outer(dy[n], features[n])
        by_feature[n] = dy[n] @ matrices[place]
    return y, by_matrix, by_feature


def value_and_gradients(matrices, places, features, dy, **options):
    y, pull = jax.vjp(lambda w, f: project(w, places, f, **options), matrices, features)
    return y, *pull(dy)


def draw(rows, matrices, features=5, outputs=3, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(matrices, outputs, features)),
        rng.integers(0, matrices, rows).astype(np.int32),
        rng.normal(size=(rows, features)),
        rng.normal(size=(rows, outputs)),
    )


@pytest.mark.parametrize("options", [{"form": "gather"}, {"tile": 4}, {}], ids=str)
@pytest.mark.parametrize(("rows", "matrices"), [(23, 4), (1, 1), (7, 40), (90, 2)])
def test_equals_loops_with_gradients(options, rows, matrices):
    arrays = draw(rows, matrices)
    run = jax.jit(lambda *x: value_and_gradients(*x, **options))
    with jax.enable_x64(True):
        found = run(*arrays)
    for value, expected in zip(found, plain(*arrays), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-12)


@jax.jit
def in_tiles_of_three(*arrays):
    return value_and_gradients(*arrays, tile=3)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 5), min_size=12, max_size=12))
def test_any_division_into_tiles(places):
    matrices, _, features, dy = draw(12, 6)
    arrays = matrices, np.array(places, np.int32), features, dy
    with jax.enable_x64(True):
        found = in_tiles_of_three(*arrays)
    for value, expected in zip(found, plain(*arrays), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-12)


def test_low_precision_products_are_summed_in_float32():
    arrays = [x if x.dtype == np.int32 else np.float32(x) for x in draw(40, 3, 300)]
    run = jax.jit(lambda *x: value_and_gradients(*x, dtype=jnp.bfloat16))
    found = run(*arrays)
    rounded = [
        x if x.dtype == np.int32 else np.asarray(x, jnp.bfloat16).astype(np.float32)
        for x in arrays
    ]
    for value, expected in zip(found, plain(*rounded), strict=True):
        assert value.dtype == jnp.float32
        np.testing.assert_allclose(value, expected, rtol=2e-5, atol=2e-5)


def test_tiles_hold_little_beside_inputs_and_results():
    """At full size: F 2,048, D 32, 1,024 rows whose leaves follow Zipf's law."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, 1234)
    leaves = rng.choice(1233, 1024, p=share / share.sum())
    distinct = len(np.unique(leaves))
    assert 300 < distinct < 420

    def temporaries(form):
        shapes = [(distinct, 32, 2048), (1024,), (1024, 2048), (1024, 32)]
        types = [jnp.float32, jnp.int32, jnp.float32, jnp.float32]
        inputs = map(jax.ShapeDtypeStruct, shapes, types)

        def run(matrices, places, features, dy):
            y, pull = jax.vjp(
                lambda w: project(w, places, features, form=form), matrices
            )
            return y, *pull(dy)

        compiled = jax.jit(run).lower(*inputs).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries("tiles") < 64 << 20
    # The matrix of every row, copied: what the limit is there to keep out.
    assert temporaries("gather") > 1024 * 2048 * 32 * 4
