import numpy as np
import pytest

from common.errors import UserError
from common.tables.faults import Faults
from common.tables.table import from_rows, read_table
from common.text.encoder import TextEncoder
from rerank.config import DataConfig
from rerank.corpus.corpus import Scaling
from rerank.corpus.item_files import encode_items, read_items

ROWS = [
    {"item": "a", "category": "hats", "brand": "x", "title": "red hat", "price": 3},
    {"item": "b", "category": "coats", "brand": "y", "title": None, "price": None},
    {"item": "c", "category": None, "brand": "x", "title": "red coat", "price": 1.5},
]


def read(rows, unique=True, **options):
    faults = Faults(from_rows(rows))
    items = read_items(faults, DataConfig(**options), unique=unique)
    return items, [(fault.line, fault.reason) for fault in faults.rejections()]


def test_items_are_read():
    items, rejected = read([{**row, "sales": 7} for row in ROWS], fields=("sales",))
    assert rejected == []
    assert items.ids.tolist() == ["a", "b", "c"]
    assert items.category_names == ("coats", "hats")
    assert items.categories.tolist() == [1, 0, -1]
    assert items.labels["brand"][0].tolist() == [0, 1, 0]
    assert items.titles.tolist() == ["red hat", "", "red coat"]
    assert items.field_names == ("price", "sales")
    np.testing.assert_array_equal(items.prices, [3, np.nan, 1.5])
    np.testing.assert_allclose(
        items.fields, [[np.log(4), 7], [np.nan, 7], [np.log(2.5), 7]]
    )


def test_a_table_of_ids_alone_is_enough():
    items, _ = read([{"item": "a"}, {"item": "b"}])
    assert items.categories.tolist() == [0, 0]
    assert items.fields.shape == (2, 0) and items.titles is None
    assert np.isnan(items.prices).all() and items.modalities == ()


def test_faulty_rows_are_rejected():
    bad = [
        {"item": None},
        {"item": "d", "price": "cheap"},
        {"item": "e", "price": -1},
        {"item": "a", "price": 9},
    ]
    items, rejected = read(ROWS + bad)
    assert items.ids.tolist() == ["a", "b", "c"]
    assert [line for line, _ in rejected] == [4, 5, 6, 7]
    reasons = ["an empty cell", "'cheap' is not a number", "below 0", "above already"]
    for (_, reason), words in zip(rejected, reasons, strict=True):
        assert words in reason


def test_rows_of_requests_may_name_an_item_again():
    items, rejected = read([*ROWS, {"item": "a", "price": 9}], unique=False)
    assert items.ids.tolist() == ["a", "b", "c"] and rejected == []
    assert items.prices[0] == 3


def test_titles_become_words_and_numbers_are_standardised():
    items, _ = read(ROWS)
    encoder = TextEncoder.fit(["red hat", "red coat"])
    empty = np.zeros((2, 0))
    known = items.fields[:2]
    scaling = Scaling.fit({"fields": known, "pair_features": empty, "context": empty})
    encoded = encode_items(items, scaling, encoder)
    assert encoded.present["text"].tolist() == [True, False, True]
    np.testing.assert_array_equal(
        encoded.words.ids, encoder.encode(["red hat", "", "red coat"])["ids"]
    )
    # One known value: mean log 4, no deviation.
    np.testing.assert_allclose(
        encoded.fields[:, 0], [0, 0, np.log(2.5) - np.log(4)], rtol=1e-6
    )


@pytest.fixture
def vectors(tmp_path):
    def save(array):
        path = tmp_path / "vectors.npy"
        np.save(path, array)
        return str(path)

    return save


def test_vectors_belong_to_the_rows_of_the_file(tmp_path, vectors):
    path = tmp_path / "items.csv"
    path.write_text("item,price\na,1\nb\n,2\nc,3\nd,4\ne,5\n")  # b can't be read
    array = np.arange(12.0).reshape(6, 2)
    array[4], array[5, 1] = np.nan, np.nan
    faults = Faults(read_table(path))
    items = read_items(faults, DataConfig(image_vectors=vectors(array)))
    assert items.ids.tolist() == ["a", "c", "d"]
    np.testing.assert_array_equal(items.vectors["image"], [[0, 1], [6, 7], [0, 0]])
    assert items.present["image"].tolist() == [True, True, False]
    lines = [
        (fault.line, "NaN in part" in fault.reason) for fault in faults.rejections()
    ]
    assert lines == [(3, False), (4, False), (7, True)]


@pytest.mark.parametrize(
    "array", [np.zeros((2, 4)), np.zeros(3), np.zeros((3, 2), int), np.array(["a"] * 3)]
)
def test_arrays_of_another_form_are_refused(vectors, array):
    with pytest.raises(UserError, match="one row for each of the 3 of rows"):
        read(ROWS, text_vectors=vectors(array))


def test_what_is_no_array_is_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}] * 3), allow_pickle=True)
    (tmp_path / "text.npy").write_text("hello")
    for name in ("objects.npy", "text.npy", "none.npy"):
        with pytest.raises(UserError, match=r"no array that np\.load can read"):
            read(ROWS, text_vectors=str(tmp_path / name))
