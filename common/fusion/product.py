"""Element-wise product."""

import jax

from common.fusion.operator import Fusion, require_equal_widths


class Product(Fusion):
    """z = x o y, for sides of equal width.

    Source: ICAN, section 5.4 (v).
    """

    def fuse(self, x: jax.Array, y: jax.Array, train: bool) -> jax.Array:
        """Multiplies element by element."""
        require_equal_widths(x, y)
        return x * y
