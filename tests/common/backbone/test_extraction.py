import jax.numpy as jnp
import numpy as np

from common.backbone.extraction import pool_photos


def test_several_photos_are_averaged_and_none_gives_zeros():
    class Brightness:
        def apply(self, variables, photos, method):
            assert method == "extract"
            return photos.astype(jnp.float32).mean((1, 2))

    photos = np.zeros((3, 2, 4, 4, 3), np.uint8)
    photos[0, 0], photos[0, 1] = 10, 30
    photos[1, 0], photos[1, 1] = 10, 99
    mask = jnp.array([[1.0, 1], [1, 0], [0, 0]])
    found = pool_photos(Brightness(), {}, jnp.asarray(photos), mask)
    np.testing.assert_allclose(found, [[20] * 3, [10] * 3, [0] * 3])
