import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.data.configs import PhotosConfig
from common.tables.cells import TEXT
from common.tables.encoders import Encoders
from common.tables.schema import Attribute, Schema
from ican.figures import draw_row, name_entries, side_of_map
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


def test_bars_are_the_heaviest_words_and_attributes_in_their_order():
    frame = pd.DataFrame(
        {
            "title": pd.Series([" ".join(map(chr, range(97, 117))), "a b"], dtype=TEXT),
            "metal": pd.Series(["gold", None], dtype=TEXT),
            "note": pd.Series([None, "A zebra"], dtype=TEXT),
        }
    )
    schema = Schema(
        (
            Attribute("title", "text", ("title",)),
            Attribute("metal", "categorical", ("metal",)),
            Attribute("note", "text", ("note",)),
        )
    )
    encoders = Encoders.fit(frame, schema)
    width = encoders.spec().attributes[0].length
    names = name_entries(encoders, frame.iloc[1])
    words = ["title: “a”", "title: “a b”", "title: “b”"]
    rest = [""] * (width - len(words))
    length = encoders.spec().attributes[2].length
    assert names[: width + 1] == [*words, *rest, "metal"]
    assert names[width + 1 :][:2] == ["note: “a”", "note: “zebra”"][:length]
    # Of the other title's twenty words the heaviest, in their order.
    names = name_entries(encoders, frame.iloc[0])
    assert len(names) == width + 1 + length and names.count("") == length
    weights = np.zeros((1, 1, len(names)))
    weights[0, 0, : width + 1] = np.arange(width + 1) + 1.0
    weights[0, 0, 3] = 100
    source = [{"row": 0, "images": []}]
    outputs = Outputs(None, None, np.full((1, 1, 4), 0.25), weights)
    config = PhotosConfig(resize=8, crop=8)

    def drawn(names):
        figure = draw_row(source, 0, config, outputs, 0, names, "")
        bars = next(axes for axes in figure.axes if not axes.images)
        labels = [label.get_text() for label in bars.get_yticklabels()]
        return labels, [bar.get_width() for bar in bars.patches]

    assert drawn(names)[0][-1] == "metal"
    many = names + [f"more {n}" for n in range(10)]
    weights = np.concatenate([weights, np.full((1, 1, 10), 50.0)], 2)
    outputs = Outputs(None, None, outputs.visual_attention, weights)
    labels, widths = drawn(many)
    assert len(labels) == 24 and labels[-10:] == many[-10:]
    assert labels[0] == names[3] and widths[0] == 100
    outputs = Outputs(None, None, outputs.visual_attention, np.zeros((1, 1, 3)))
    assert drawn([""] * 3)[0] == ["nothing"]
