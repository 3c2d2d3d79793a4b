import io

import numpy as np
import pytest
from PIL import Image

from common.data.configs import PhotosConfig
from ican.figures import draw_row, side_of_map
from ican.step import Outputs


def encode(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


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
        source.append({"row": row, "images": [encode(pixels)]})
    maps = rng.dirichlet(np.ones(4), size=(2, 3))  # [B, L, P]
    weights = rng.dirichlet(np.ones(2), size=(2, 3))  # [B, L, A]
    figure = draw_row(
        source,
        2,
        PhotosConfig(resize=10, crop=8),
        Outputs(None, None, maps, weights),
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


def test_all_photos_of_a_row_are_drawn():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    source = [{"row": 0, "images": [encode(photo) for photo in pixels[:2]]}]
    outputs = Outputs(None, None, np.full((1, 1, 4), 0.25), np.ones((1, 1, 1)))

    def shown(count):
        config = PhotosConfig(resize=8, crop=8, count=count)
        figure = draw_row(source, 0, config, outputs, 0, ("metal",), "")
        photos = [axes.images[0].get_array() for axes in figure.axes if axes.images]
        return [photo for photo in photos if photo.ndim == 3]

    # Each as it is and under the map; a third place stays empty.
    np.testing.assert_array_equal(shown(3), pixels[[0, 1, 0, 1]])
    np.testing.assert_array_equal(shown(1), pixels[[0, 0]])
    source[0]["images"] = []
    assert len(shown(3)) == 2  # one blank photo
