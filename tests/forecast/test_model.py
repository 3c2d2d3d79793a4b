"""Networks: what is sampled step by step is what training reads at once."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from forecast import model
from forecast.config import Config, ModelConfig, WindowConfig
from forecast.model import FORMS, Forecaster
from forecast.panel.panel import Panel
from forecast.windows import cut, make_grid, sizes_of

ROWS, SERIES, HORIZON = 60, 3, 4
START = ROWS - HORIZON
SMALL = {"cells": 6, "layers": 1, "width": 8, "heads": 2, "condition": 5, "blocks": 2}
SMALL |= {"flow_hidden": 6, "flow_layers": 1, "rank": 2, "marginal": 20}


NAMES = [name for name, form in FORMS.items() if form.body != "walk"]


@functools.cache
def world(name):
    """(network, variables, window of the last horizon) of a small panel."""
    rng = np.random.default_rng(0)
    values = 10 + rng.normal(size=(ROWS, SERIES)).cumsum(0).astype(np.float32)
    if name == "gru_maf":
        values[50:53, 1] = np.nan
    panel = Panel.of(
        values,
        pd.date_range("2024-01-01", periods=ROWS),
        "D",
        known=rng.normal(size=(ROWS, SERIES, 1)).astype(np.float32),
        known_names=("price",),
        categories=np.array([[0], [1], [1]], np.int32),
        category_names=("kind",),
        category_levels=(("a", "b"),),
    )
    config = Config(
        window=WindowConfig(horizon=HORIZON, context=5, lags=(1, 3)),
        model=ModelConfig(name=name, **SMALL),
    )
    sizes = sizes_of(config, panel)
    network = Forecaster(config.model, sizes, config.window)
    window = cut(make_grid(config, sizes, panel), jnp.array([START]), sizes)
    shapes = jax.eval_shape(
        functools.partial(network.init, method="log_prob"), jax.random.key(0), window
    )
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        part = rng.normal(size=leaf.shape).astype(np.float32) / max(leaf.shape) ** 0.5
        return np.exp(part) if "var" in jax.tree_util.keystr(path) else part

    return network, jax.tree_util.tree_map_with_path(draw, shapes), window


@functools.cache
def compiled(name, method):
    network = world(name)[0]
    return jax.jit(functools.partial(network.apply, method=method))


KEYS = jax.random.split(jax.random.key(7), 3)[None]


def sample(name, variables=None):
    _, drawn, window = world(name)
    run = compiled(name, "sample")
    return run(drawn if variables is None else variables, window, KEYS)


def with_path(window, path):
    values = window.values.at[:, -HORIZON:].set(path)
    return window._replace(
        values=values, observed=window.observed.at[:, -HORIZON:].set(True)
    )


def noise_of(keys, place, count):
    key = jax.random.fold_in(keys, place)
    return jax.random.normal(key, (count,))


@pytest.mark.parametrize("name", ["gru_maf", "gru_real_nvp", "transformer_maf"])
def test_the_noise_of_a_path_is_what_the_density_makes_of_it(name):
    """forward(path; state read at once) is the noise that the path was made of."""
    network, variables, window = world(name)
    paths = sample(name)

    def noise(module, window):
        transform = module.transform(window)
        z = transform.forward(window.values, window.observed)
        hidden = module.read(z, window)[:, -HORIZON:]
        flow = module.head.flow
        u, _ = flow.chain.forward_and_log_det(
            z[:, -HORIZON:], module.head.dense(hidden)
        )
        return u[0]

    run = jax.jit(functools.partial(network.apply, method=noise))
    for number in range(2):
        found = run(variables, with_path(window, paths[0, number]))
        expected = [noise_of(KEYS[0, number], h, SERIES) for h in range(HORIZON)]
        np.testing.assert_allclose(found, np.stack(expected), atol=1e-3)


@pytest.mark.parametrize("name", ["vec_lstm", "gp", "gp_copula", "deepar"])
def test_a_path_without_noise_is_the_mean_that_is_read_at_once(name):
    network, drawn, window = world(name)
    count = {"deepar": 3, "vec_lstm": 2}.get(name, 2 + SMALL["rank"])
    dense = dict(drawn["params"]["head"]["dense"])
    kernel, bias = (np.array(dense[part]) for part in ("kernel", "bias"))
    # All numbers but the mean: constants that make the deviation tiny.
    for part, fill in ((kernel, 0.0), (bias, -30.0)):
        columns = part.reshape(*part.shape[:-1], -1, count)
        columns[..., 1:] = fill
        columns[..., 2:] = 0.0
    head = {"dense": {"kernel": kernel, "bias": bias}}
    variables = {**drawn, "params": {**drawn["params"], "head": head}}
    paths = sample(name, variables)

    def means(module, window):
        z = module.transform(window).forward(window.values, window.observed)
        numbers = module.head.numbers(module.read(z, window), count)
        return z[0, -HORIZON:], numbers[0][0, -HORIZON:]

    run = jax.jit(functools.partial(network.apply, method=means))
    z, mean = run(variables, with_path(window, paths[0, 0]))
    np.testing.assert_allclose(z, mean, atol=0.06)  # a deviation of 0.01
    assert np.abs(np.diff(mean, axis=0)).max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_paths_are_finite_and_do_not_depend_on_what_stands_beside(name):
    paths = sample(name)
    _, variables, window = world(name)
    turned = compiled(name, "sample")(variables, window, KEYS[:, ::-1])
    assert np.isfinite(paths).all() and paths.shape == (1, 3, HORIZON, SERIES)
    np.testing.assert_allclose(turned[:, ::-1], paths, rtol=1e-4, atol=1e-4)
    assert np.abs(paths[0, 0] - paths[0, 1]).max() > 1e-3


@pytest.mark.parametrize("name", ["gru_maf", "deepar", "transformer_maf"])
def test_the_horizon_is_not_looked_at_before_it_is_sampled(name):
    _, variables, window = world(name)
    other = with_path(window, np.full((HORIZON, SERIES), 1e3, np.float32))
    found = compiled(name, "sample")(variables, other, KEYS)
    np.testing.assert_array_equal(found, sample(name))


@pytest.mark.parametrize("name", sorted({*NAMES} - {"vec_lstm_copula"}))
def test_no_density_looks_ahead(name):
    """A value of the last step changes the density of that step alone."""
    _, variables, window = world(name)
    run = compiled(name, "log_prob")
    before = run(variables, window).scaled[0]
    values = window.values.at[:, -1, 0].add(1.0)
    after = run(variables, window._replace(values=values)).scaled[0]
    np.testing.assert_array_equal(before[:-1], after[:-1])
    assert abs(before[-1] - after[-1]) > 1e-5
    assert len(before) == (HORIZON if name == "transformer_maf" else 5 + HORIZON)


@pytest.mark.parametrize("name", ["vec_lstm", "gp_copula", "deepar"])
def test_what_is_missing_has_no_part_in_a_normal_density(name):
    _, variables, window = world(name)
    run = compiled(name, "log_prob")
    hidden = window._replace(observed=window.observed.at[:, -1, 2].set(False))
    other = hidden._replace(values=hidden.values.at[:, -1, 2].set(99.0))
    first, second = (run(variables, each) for each in (hidden, other))
    np.testing.assert_allclose(first.scaled, second.scaled, rtol=1e-6)
    assert first.series[0, -1] == 2


def test_one_series_and_one_step():
    """Where a coupling has nothing to keep; of others see the bad inputs."""
    network, _, window = world("gru_real_nvp")
    sizes = dataclasses.replace(network.sizes, series=1, horizon=1)
    small = network.clone(sizes=sizes)
    steps = slice(1 - HORIZON)
    one = window._replace(
        values=window.values[:, steps, :1],
        observed=window.observed[:, steps, :1],
        calendar=window.calendar[:, steps],
        covariates=window.covariates[:, steps, :1],
        categories=window.categories[:1],
    )

    @jax.jit
    def paths_of():
        init = functools.partial(small.init, method="log_prob")
        variables = init(jax.random.key(0), one)
        return small.apply(variables, one, KEYS, method="sample")

    paths = paths_of()
    assert paths.shape == (1, 3, 1, 1) and np.isfinite(paths).all()


def test_training_hides_series_from_a_shared_network(monkeypatch):
    """Hidden ones are read as a series that training did not have."""
    network, variables, window = world("gp")
    network = network.clone(model=dataclasses.replace(network.model, dropout=0.0))
    new = window._replace(categories=window.categories + SERIES)

    def read(window, share, train):
        monkeypatch.setattr(model, "HIDDEN", share)
        return network.apply(
            variables,
            window.values,
            window,
            train=train,
            method="read",
            rngs={"dropout": jax.random.key(0)},
        )

    hidden, unknown = read(window, 1.0, True), read(new, 0.0, False)
    np.testing.assert_allclose(hidden, unknown, atol=1e-6)
    shown, known = read(window, 0.0, True), read(window, 0.0, False)
    np.testing.assert_allclose(shown, known, atol=1e-6)
    assert np.abs(np.asarray(hidden - shown)).max(axis=(0, 1, 3)).min() > 1e-3
