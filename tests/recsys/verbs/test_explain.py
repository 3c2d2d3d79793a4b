"""The pictures of `--mode=explain`."""

import types

import numpy as np
import pytest
from PIL import Image

from recsys.verbs.explain import Photos


@pytest.fixture
def folder(tmp_path):
    for name, width in {"a.png": 20, "b.png": 40, "c.png": 30}.items():
        Image.new("RGB", (width, 20), (width, 0, 0)).save(tmp_path / name)
    (tmp_path / "page.png").write_bytes(b"<html></html>")
    return tmp_path


def open_photos(folder, *cells):
    names = np.array(cells, object)
    return Photos(types.SimpleNamespace(photo_names=names), folder)


@pytest.mark.parametrize(
    "cell",
    ["a.png, b.png", "a.png,b.png", "A.PNG|B.png", "a.png b.png", "['a.png', 'b.png']"],
)
def test_all_photos_of_an_item_are_shown(folder, cell):
    """Side by side, brought to one height; 20 and 40 pixels wide at a height of 20."""
    photos = open_photos(folder, "", "c.png|a.png" if "|" in cell else "c.png", cell)
    shown = photos.find(2)
    assert shown.shape == (256, 256 + 512, 3)
    assert (shown[:, :256, 0] == 20).all() and (shown[:, 256:, 0] == 40).all()
    assert photos.find(0) is None and photos.unread == {}
    photos.close()


def test_one_photo_is_shown_as_it_is(folder):
    photos = open_photos(folder, "c.png")
    assert photos.find(0).shape == (20, 30, 3)


def test_what_can_not_be_shown_is_told(folder):
    photos = open_photos(folder, "page.png", "none.png", "c.png", "[oops")
    assert [photos.find(i) is None for i in range(4)] == [True, True, False, True]
    assert photos.unread == {
        "page.png": "a web page (HTML), not a photo; download the photo again",
        "none.png": "no such file",
        "[oops": "no such file",
    }
