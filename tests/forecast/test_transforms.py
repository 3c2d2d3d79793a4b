import jax
import jax.numpy as jnp
import numpy as np

from forecast.config import ModelConfig, Sizes
from forecast.transforms import fit_transform, mean_scale
from forecast.windows import Window


def test_scales_by_hand():
    nan = np.nan
    past = np.array(
        [  # two steps before the context, then two of it
            [9.0, 0.0, 4.0, 0.0, nan],
            [9.0, 0.0, 0.0, 0.0, nan],
            [-1.0, 3.0, 0.0, 0.0, nan],
            [5.0, nan, 0.0, 0.0, nan],
        ]
    )[None]
    observed = np.isfinite(past)
    found = jax.jit(mean_scale, static_argnums=2)(np.nan_to_num(past), observed, 2)
    # Of the context; of what is observed there; of all the past; the least of the
    # others for zeros; their mean for what nobody has seen.
    np.testing.assert_allclose(found[0], [3, 3, 1, 1, 7 / 3], rtol=1e-6)
    alone = jax.jit(mean_scale, static_argnums=2)(0 * past, past > -9, 2)
    np.testing.assert_array_equal(alone, np.ones((1, 5)))


def window_of(values):
    shape = values.shape
    return Window(
        values,
        np.ones(shape, bool),
        np.zeros((len(values), 3, 0)),
        np.zeros((len(values), 3, shape[2], 0)),
        np.zeros((shape[2], 1), np.int32),
    )


def test_transforms_go_back_and_know_their_slope():
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(size=(2, 23, 3))).astype(np.float32)
    sizes = Sizes(3, 0, 0, 0, (), (1, 20), 2, 1, missing=False)
    for by_copula in (False, True):
        config = ModelConfig(marginal=20)
        seen = np.ones(values.shape, bool)

        @jax.jit
        def run(window, config=config, by_copula=by_copula, seen=seen):
            made = fit_transform(config, sizes, window, by_copula)
            x = jnp.stack([window.values, window.values * 1.0001])
            z, above = jax.lax.map(lambda x: made.forward(x, seen), x)
            back = made.inverse(z[:, None])[:, 0]
            return z, above, back, made.log_slope(window.values)

        z, above, back, log_slope = run(window_of(values))
        np.testing.assert_allclose(back, values, rtol=1e-3)
        slope = (above - z) / (values * 0.0001)
        ratio = np.asarray(np.log(slope) - log_slope)
        assert np.median(np.abs(ratio)) < 0.02, by_copula


def test_flat_tails_stay_within_the_past_and_can_be_trained():
    past = np.linspace(1, 2, 22, dtype=np.float32)[None, :, None]
    values = np.concatenate([past, np.full((1, 1, 1), 9, np.float32)], 1)
    sizes = Sizes(1, 0, 0, 0, (), (1, 20), 2, 1, missing=False)
    config = ModelConfig(marginal=20, flat_tails=True)

    @jax.jit
    def run(window):
        made = fit_transform(config, sizes, window, by_copula=True)
        far = made.inverse(jnp.full((1, 1, 1, 1), 5.0))
        return far, made.log_slope(window.values)

    far, slope = run(window_of(values))
    assert 1.9 < far.item() <= 2
    np.testing.assert_array_equal(slope, np.zeros_like(values))


def test_what_no_one_has_seen_is_read_as_near():
    values = np.linspace(1000, 1001, 23, dtype=np.float32)[None, :, None]
    values[:, :5] = 0
    window = window_of(values)
    window.observed[:, :5] = False
    sizes = Sizes(1, 0, 0, 0, (), (1, 20), 2, 1, missing=True)

    @jax.jit
    def run(window, observed):
        made = fit_transform(ModelConfig(marginal=20), sizes, window, by_copula=True)
        return made.forward(window.values, observed)

    z = np.asarray(run(window, window.observed))
    assert (z[:, :5] == -4).all() and (np.abs(z[:, 5:]) < 4).all()
    assert (run(window, ~window.observed)[:, :5] < -1000).all()
