"""A fixed order."""

import numpy as np

from common.flows.permutation import Permutation
from tests.common.flows.jacobians import FORWARD, check


def test_log_determinants_and_the_way_back():
    check(Permutation((2, 0, 3, 1)), 4)


def test_the_order_names_the_coordinates():
    x = np.array([[10.0, 11, 12, 13]], np.float32)
    u, log_det = Permutation((2, 0, 3, 1)).apply({}, x, x, method=FORWARD)
    assert u.tolist() == [[12, 10, 13, 11]] and log_det.tolist() == [0]
