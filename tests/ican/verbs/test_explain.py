import io

import numpy as np
import pytest
from PIL import Image

from common.data.configs import PhotosConfig
from ican.figures import draw_row, side_of_map
from ican.step import Outputs


@pytest.mark.parametrize("side", [1, 2, 7, 14])
def test_side_of_a_square_map(side):
    assert side_of_map(side * side) == side


def test_a_map_that_is_no_square_is_refused():
    with pytest.raises(ValueError, match="6 positions"):
        side_of_map(6)


def test_a_panel_shows_the_row_it_is_asked_for():
    """Photo, maps and weights of place 1, read back from the axes."""
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (3, 10, 10, 3), np.uint8)
    source = []
    for row, pixels in enumerate(photos):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        source.append({"row": row, "images": [file.getvalue()]})
    maps = rng.dirichlet(np.ones(4), size=(2, 3))  # [B, L, P]
    weights = rng.dirichlet(np.ones(2), size=(2, 3))  # [B, L, A]
    figure = draw_row(
        source,
        2,
        PhotosConfig(resize=10, crop=8),
        Outputs(None, maps, weights),
        1,
        ("metal", "weight"),
        "row 2",
    )
    images = [axes.images for axes in figure.axes if axes.images]
    assert len(images) == 3 * 3  # photo, map, overlay of three cells
    for cell in range(3):
        photo, attention, overlay = images[3 * cell : 3 * cell + 3]
        np.testing.assert_array_equal(photo[0].get_array(), photos[2, 1:9, 1:9])
        wanted = maps[1, cell].reshape(2, 2)
        np.testing.assert_array_equal(attention[0].get_array(), wanted)
        np.testing.assert_array_equal(overlay[1].get_array(), wanted)
    bars = [axes for axes in figure.axes if not axes.images]
    widths = [[bar.get_width() for bar in axes.patches] for axes in bars]
    for cell in range(3):
        np.testing.assert_allclose(sorted(widths[cell]), sorted(weights[1, cell]))
