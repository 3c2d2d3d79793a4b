"""Coupling: one half of the coordinates stays."""

import jax
import numpy as np
import pytest

from common.flows.affine_coupling import AffineCoupling
from tests.common.flows.jacobians import FORWARD, check, drawn


@pytest.mark.parametrize("first_moves", [True, False])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_log_determinants_and_the_way_back(size, first_moves):
    check(AffineCoupling(size, first_moves, hidden=6), size)


def test_every_second_coordinate_stays():
    x, condition = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    for first_moves in (True, False):
        module = AffineCoupling(4, first_moves, hidden=6, layers=1)
        u, _ = jax.jit(module.apply, static_argnames="method")(
            drawn(module, 4), x, condition, method=FORWARD
        )
        stays = np.arange(4) % 2 == first_moves
        assert ((u == x).all(0) == stays).all()
