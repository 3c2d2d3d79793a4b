"""The element-wise product, by hand."""

import numpy as np

from common.fusion.product import Product


def test_product_by_hand():
    z = Product().apply({}, np.array([[1.0, 2.0]]), np.array([[3.0, -5.0]]))
    np.testing.assert_array_equal(z, [[3.0, -10.0]])
