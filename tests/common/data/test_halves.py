import io
import pathlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.data.halves import halve
from common.data.listings import Listings
from common.tables.cells import TEXT
from common.tables.schema import Group, Images, Schema


def photo_of(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (number % 256, number // 256, 0)).save(file, "PNG")
    return file.getvalue()


def listings_of(titles, photos, *, validation=None, schema=None) -> Listings:
    """Rows of validation, or of what is said, with a photo by number each."""
    rows = len(titles)
    split = np.full(rows, "validation", object)
    if validation is not None:
        split[~np.asarray(validation)] = "train"
    frame = pd.DataFrame({"title": pd.Series(titles, dtype=TEXT), "split": split})
    schema = schema or Schema((), images=Images(("photo",)), group=Group(("title",)))
    source = [{"row": n, "images": [photo_of(p)]} for n, p in enumerate(photos)]
    return Listings(schema, frame, source, "", 0, 0, 0, pathlib.Path())


def titles_of(numbers) -> list[str]:
    letters = "abcdefghij"
    return ["".join(letters[int(d)] for d in f"{n:05d}") for n in numbers]


def test_halves_are_all_rows_in_two_equal_parts():
    first, second = halve(listings_of(titles_of(range(101)), range(101)))
    assert sorted([*first, *second]) == list(range(101))
    assert (len(first), len(second)) == (51, 50)


def test_near_copies_stay_together_and_halves_about_equal():
    """By title in threes, and by photo across titles in nines."""
    numbers = np.random.default_rng(0).permutation(300)
    first, second = halve(listings_of(titles_of(numbers // 3), numbers // 9))
    assert set(numbers[first] // 9).isdisjoint(numbers[second] // 9)
    assert abs(len(first) - len(second)) <= 9


def test_photos_do_not_tie_where_the_schema_says_so():
    group = Group(("title",), photo_hash=False)
    schema = Schema((), images=Images(("photo",)), group=group)
    listings = listings_of(titles_of(range(40)), [0] * 40, schema=schema)
    assert [len(half) for half in halve(listings)] == [20, 20]


def test_neither_order_nor_training_rows_matter():
    numbers = np.arange(60)
    whole = halve(listings_of(titles_of(numbers), numbers))
    order = np.random.default_rng(0).permutation(60)
    turned = halve(listings_of(titles_of(numbers[order]), numbers[order]))
    for one, other in zip(whole, turned, strict=True):
        assert sorted(order[other]) == one.tolist()
    mixed = np.arange(120)
    chosen = mixed % 2 == 0
    titles = titles_of(mixed // 2 + 1000 * (mixed % 2))
    photos = mixed // 2 + 1000 * (mixed % 2)
    found = halve(listings_of(titles, photos, validation=chosen))
    for one, other in zip(whole, found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_of_one_group_all_rows_choose(rows):
    first, second = halve(listings_of(["ring"] * rows, range(rows)))
    assert first.tolist() == list(range(rows))
    assert second.tolist() == []


def test_two_rows_are_one_and_one():
    assert [len(half) for half in halve(listings_of(["a", "b"], [0, 1]))] == [1, 1]
