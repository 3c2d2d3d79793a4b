import io
import types

import numpy as np
import pytest
from PIL import Image

from common.data.configs import PhotosConfig
from common.reports import figures
from pricer.data import Context
from pricer.model import Suggestion
from pricer.saved_model import Outputs
from pricer.verbs import explain


def test_each_place_is_covered_once():
    photo = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    copies = explain.cover(photo, places=4, width=1)
    assert copies.shape == (16, 16, 24, 3)
    changed = (copies != photo[None]).any(-1)  # [16, H, W]
    colour = photo.reshape(-1, 3).mean(0).round().astype(np.uint8)
    for number, (row, column) in enumerate(np.ndindex(4, 4)):
        square = np.zeros((16, 24), bool)
        square[4 * row : 4 * row + 4, 6 * column : 6 * column + 6] = True
        assert not changed[number][~square].any()
        assert (copies[number][square] == colour).all()


def test_wider_squares_end_at_the_edge():
    photo = np.zeros((8, 8, 3), np.uint8)
    photo[0, 0] = 255
    copies = explain.cover(photo, places=4, width=2)
    corner = (copies[:, 0, 0] != 255).all(-1).reshape(4, 4)
    np.testing.assert_array_equal(np.argwhere(corner), [[0, 0]])


def test_what_is_covered_is_what_told():
    """A model whose price is the brightness of the upper left quarter."""

    def outputs_of_photos(photos, mask, context):
        assert (context.statistics == 7).all() and (context.groups == 5).all()
        assert context.statistics.shape == (len(photos), 3) and (mask == 1).all()
        quarter = photos[:, 0, :16, :16].astype(np.float64).mean((1, 2, 3))
        lower = photos[:, 0, 16:, 16:].astype(np.float64).mean((1, 2, 3))
        return Outputs(Suggestion(quarter, -lower), None, None)

    model = types.SimpleNamespace(outputs_of_photos=outputs_of_photos)
    photo = np.zeros((1, 32, 32, 3), np.uint8)
    photo[0, :16, :16] = 200
    photo[0, 16:, 16:] = 100
    known = Context(np.full((1, 3), 7.0), np.array([5], np.int32))
    price, gate, maps = explain.cover_each_place(model, photo, np.ones(1), known)
    assert (price, gate) == (200, -100)
    assert maps.price.shape == (explain.PLACES, explain.PLACES)
    # Covering it with the darker mean lowers it: the place has raised the price.
    assert maps.price[1, 1] > 0 and maps.gate[6, 6] < 0
    assert maps.price[6, 6] == 0 and maps.gate[1, 1] == 0
    assert maps.price.max() == pytest.approx(maps.price[1, 1])


def test_every_photo_is_covered_and_drawn(monkeypatch, tmp_path):
    """A model whose price is that of the second photo, its gate that of the first."""

    def outputs_of_photos(photos, mask, context):
        bright = photos.astype(np.float64).mean((2, 3, 4))  # [n, M]
        assert photos.shape[1] == 3 and (mask == [1, 1, 0]).all()
        assert (photos[:, 2] == 0).all()
        return Outputs(Suggestion(bright[:, 1], bright[:, 0]), None, None)

    threshold = types.SimpleNamespace(accepts=lambda logits: logits > 0)
    model = types.SimpleNamespace(
        outputs_of_photos=outputs_of_photos,
        price_of=float,
        config=types.SimpleNamespace(photos=PhotosConfig(resize=16, crop=16, count=3)),
        trained=types.SimpleNamespace(
            calibration=types.SimpleNamespace(threshold=threshold)
        ),
    )
    pixels = np.zeros((2, 16, 16, 3), np.uint8)
    pixels[:, :4, :4] = 255
    encoded = []
    for photo in pixels:
        file = io.BytesIO()
        Image.fromarray(photo).save(file, "PNG")
        encoded.append(file.getvalue())
    drawn = {}
    monkeypatch.setattr(
        figures, "save", lambda figure, path: drawn.update({path: figure})
    )
    context = Context(np.zeros((1, 0)), np.zeros(1, np.int32))
    source = [{"row": 0, "images": encoded}]
    explain.draw_rows(source, np.array([0]), model, context, tmp_path)
    (figure,) = drawn.values()
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == 2 * 3
    for number in range(2):
        plain, price, gate = shown[3 * number : 3 * number + 3]
        np.testing.assert_array_equal(plain.images[0].get_array(), pixels[number])
        told = [bool(axes.images[1].get_array().any()) for axes in (price, gate)]
        assert told == [number == 1, number == 0]
