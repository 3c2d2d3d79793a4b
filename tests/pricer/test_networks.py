import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common import pretrained
from common.config import configs
from common.errors import UserError
from pricer import networks
from pricer.config import Config


def test_the_loss_of_a_set_is_over_what_is_known():
    logits = jnp.array([[1.0, -2.0, 0.5], [3.0, 1.0, 0.0]])
    batch = {
        "target": jnp.array([[True, False, True], [False, True, False]]),
        "known": jnp.array([[True, True, False], [True, True, True]]),
    }
    found = networks.measure_several(logits, batch)
    shares = 1 / (1 + np.exp(-np.asarray(logits)))
    first = -(np.log(shares[0, 0]) + np.log(1 - shares[0, 1])) / 2
    second = -(
        np.log(1 - shares[1, 0]) + np.log(shares[1, 1]) + np.log(1 - shares[1, 2])
    )
    np.testing.assert_allclose(found["loss"], [first, second / 3], rtol=1e-6)
    # The likeliest of the known: member 0, a hit; member 0 again, none.
    np.testing.assert_array_equal(found["top1"], [True, False])


def test_the_likeliest_member_counts_only_where_it_is_known():
    found = networks.measure_several(
        jnp.array([[1.0, 9.0]]),
        {"target": jnp.array([[True, True]]), "known": jnp.array([[True, False]])},
    )
    assert bool(found["top1"][0])
    nothing = networks.measure_several(
        jnp.array([[1.0, 9.0]]),
        {"target": jnp.array([[True, True]]), "known": jnp.array([[False, False]])},
    )
    assert float(nothing["loss"][0]) == 0 and not bool(nothing["top1"][0])


def test_the_price_network_minimises_the_squared_error():
    found = networks.measure_price(
        jnp.array([[1.0], [2.0]]), {"target": jnp.array([3.0, 1.5])}
    )
    np.testing.assert_allclose(found["loss"], [4, 0.25])
    np.testing.assert_allclose(found["absolute_error"], [2, 0.5])


def test_each_network_is_one_of_its_own_saved_and_reported(run):
    tasks = ("category", "brand", "attribute", "specification")
    for task in tasks:
        path = run.workdir / "networks" / task / networks.WEIGHTS
        depth, _ = pretrained.backbone_from_torch(path)
        assert depth == "tiny"
        assert np.isfinite(run.values[f"network/{task}/loss"])
        assert 0 < run.values[f"network/{task}/n"] <= 29
    # The networks are not one and the same.
    kernels = [
        pretrained.backbone_from_torch(
            run.workdir / "networks" / task / networks.WEIGHTS
        )
        for task in tasks
    ]
    first = [
        np.ravel(jax.tree.leaves(variables["params"])[-1]) for _, variables in kernels
    ]
    assert all(not np.array_equal(first[0], other) for other in first[1:])


def test_weights_of_another_depth_are_refused(run):
    path = run.workdir / "networks" / "brand" / networks.WEIGHTS
    config = configs.replace(
        Config(), {"networks.weights": str(path), "networks.depth": "18"}
    )
    with pytest.raises(
        UserError, match="weights of ResNet tiny.*--networks.depth=tiny"
    ):
        networks.starting_weights(config)
    start = networks.starting_weights(
        configs.replace(config, {"networks.depth": "tiny"})
    )
    assert set(start) == {"params", "batch_stats"} and set(start["params"]) == {
        "backbone"
    }


def test_rows_without_a_photo_teach_nothing():
    records = [{"images": images} for images in ([b"x"], [], [b"y"], [])]
    listings = types.SimpleNamespace(source=records)
    found = networks._with_photo(listings, np.array([3, 2, 0]))
    np.testing.assert_array_equal(found, [2, 0])
    assert len(networks._with_photo(listings, np.array([], int))) == 0
