"""Maps one after the other."""

import numpy as np

from common.flows.affine_coupling import AffineCoupling
from common.flows.batch_norm import FlowBatchNorm
from common.flows.chain import Chain
from common.flows.permutation import Permutation
from tests.common.flows.jacobians import FORWARD, check


def test_log_determinants_and_the_way_back():
    parts = [FlowBatchNorm(3), Permutation((2, 1, 0)), AffineCoupling(3, hidden=6)]
    check(Chain(parts), 3)


def test_the_first_map_is_the_one_next_to_the_data():
    x = np.array([[10.0, 11, 12]], np.float32)
    module = Chain([Permutation((1, 0, 2)), Permutation((2, 0, 1))])
    u, _ = module.apply({}, x, x, method=FORWARD)
    assert u.tolist() == [[12, 11, 10]]
