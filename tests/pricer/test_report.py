"""The photos of the report page."""

import io
import types

import numpy as np
from PIL import Image

from common.data.configs import PhotosConfig
from pricer import report
from pricer.model import Suggestion


def encode(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_all_photos_of_the_rows_are_shown_and_judged():
    """Two photos in row 0, one in row 1; a third of row 0 is beyond photos.count."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    names = [[0, 1, 3], [2]]
    source = [
        {"row": row, "images": [encode(pixels[n]) for n in photos]}
        for row, photos in enumerate(names)
    ]
    run = types.SimpleNamespace(
        config=types.SimpleNamespace(
            photos=PhotosConfig(resize=8, crop=8, count=2),
            prices=types.SimpleNamespace(transform="log"),
        ),
        examples=types.SimpleNamespace(
            prices=np.array([10.0, 20.0]),
            listings=types.SimpleNamespace(source=source),
        ),
    )
    threshold = types.SimpleNamespace(accepts=lambda logits: logits > 0)
    outcome = types.SimpleNamespace(
        suggestion=Suggestion(np.log([11.0, 21.0]), np.array([-1.0, 1.0])),
        calibration=types.SimpleNamespace(threshold=threshold),
    )
    quality = types.SimpleNamespace(by_code={})
    figure = report._gallery(
        run, outcome, np.arange(2), np.array([True, True]), quality
    )
    shown = [axes.images[0].get_array() for axes in figure.axes]
    np.testing.assert_array_equal(shown, pixels[:3])
    assert [axes.get_title() for axes in figure.axes] == [
        "sold 10\ntoo little to see",
        "sold 10, photo 2\ntoo little to see",
        "sold 20\nsuggested 21",
    ]


def test_captions_tell_how_many_rows_are_shown():
    assert report._some(np.ones(60, bool)) == "12 of 60"
    assert report._some(np.array([True, False])) == "1 of 1"
