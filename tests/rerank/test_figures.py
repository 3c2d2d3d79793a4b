"""Pictures of lists."""

import dataclasses
import io

import numpy as np
from PIL import Image

from rerank import data, figures


def test_photos_are_read_as_far_as_they_can_be(small_config, tmp_path):
    items = data.load(small_config).items
    names = np.full(len(items), "", object)
    names[[3, 5, 7]] = ["a.png", "broken.png", "absent.png"]
    items = dataclasses.replace(items, photos=names.astype(str))
    photo = np.full((40, 20, 3), (200, 10, 10), np.uint8)
    kept = io.BytesIO()
    Image.fromarray(photo).save(kept, "png")
    (tmp_path / "a.png").write_bytes(kept.getvalue())
    (tmp_path / "broken.png").write_bytes(b"no photo")
    found = figures.read_photos(items, np.array([[3, 5], [7, -1]]), tmp_path)
    assert list(found) == [3] and found[3].shape == (96, 96, 3)
    assert found[3][48, 48].tolist() == [200, 10, 10]
    assert found[3][48, 2].tolist() == [255, 255, 255]  # beside it
    assert figures.read_photos(items, np.array([3]), None) == {}


def test_names_are_wrapped_at_words():
    assert figures._wrap("Nike Men Blue T20 Indian Cricket Jersey of 2011") == (
        "Nike Men Blue\nT20 Indian\nCricket Jersey"
    )
