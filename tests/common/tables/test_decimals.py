"""What a column of texts says about its decimals, by locale and kind of column."""

import dataclasses
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from common.tables import decimals, row_checks, schema
from common.tables.cells import MARKS, read_number
from common.tables.inference import infer
from common.tables.schema import Attribute, Schema, Target
from common.tables.table import Table, from_rows, read_table

KM = Schema((Attribute("km", "continuous", ("km",)),))
PRICE = Schema((), target=Target("price", "EUR"))


def english(number: float, digits: int) -> str:
    return f"{number:,.{digits}f}"


def plain(number: float, digits: int) -> str:
    return f"{number:.{digits}f}"


def german(number: float, digits: int) -> str:
    return english(number, digits).translate(str.maketrans(",.", ".,"))


def french(number: float, digits: int) -> str:
    return english(number, digits).replace(",", "\u202f").replace(".", ",")


def swiss(number: float, digits: int) -> str:
    return english(number, digits).replace(",", "’")


LOCALES = {write.__name__: write for write in (english, plain, german, french, swiss)}
MARK_OF = {"german": ",", "french": ","}  # a point elsewhere


def column(cells: list, name: str = "km") -> Table:
    return from_rows([{name: cell} for cell in cells], "t.csv")


def read(cells: list, of: Schema, name: str = "km", **options) -> np.ndarray:
    table = column(cells, name)
    frame, rejected = row_checks.check_rows(table, of, **options)
    assert rejected == []
    return frame[name].to_numpy()


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(LOCALES)),
    st.sampled_from(["", "{}", "{} €", "EUR {}"]),  # "" for an attribute
    st.lists(
        st.tuples(st.integers(1, 10**9), st.integers(0, 4)), min_size=1, max_size=12
    ),
    st.randoms(),
)
def test_every_cell_of_every_locale_is_the_number_that_was_written(
    locale, price, drawn, rng
):
    """Whole numbers and such of 1 to 4 decimals, mixed as people mix them."""
    values = [(n / 10**d, d) for n, d in drawn] + [(948.25, 2)]  # one that tells
    rng.shuffle(values)
    of, name = (PRICE, "price") if price else (KM, "km")
    cells = [(price or "{}").format(LOCALES[locale](n, d)) for n, d in values]
    np.testing.assert_array_equal(read(cells, of, name), [n for n, _ in values])


@pytest.mark.parametrize("locale", LOCALES)
def test_a_single_new_row_is_read_as_in_training(locale):
    write = LOCALES[locale]
    settled = row_checks.settle(column([write(948.25, 2), write(1031, 0)]), KM)
    assert settled.attributes[0].decimal == MARK_OF.get(locale, ".")
    for number, digits in ((1031, 0), (2.25, 2), (1.031, 3), (12.5, 1), (0.125, 3)):
        found = read([write(number, digits)], settled, need_target=False)
        assert found.tolist() == [number]


def test_the_prices_of_the_report():
    cells = ["948,00 €", "1.031 €", "1.250,50 €", "12 €", "899,- €"]
    found = read(cells, PRICE, "price")
    np.testing.assert_array_equal(found, [948, 1031, 1250.5, 12, 899])


@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        (["0.125", "1.250", "3.750"], "."),
        (["1.250", "12.5"], "."),
        (["1.250", "1234.5"], "."),
        (["1.250", "1e-3", ".5"], "."),
        (["1.250", "1,234,567"], "."),
        (["1,250", "1.234.567"], ","),
        (["1.250", "948,00"], ","),
        (["1,250", "0,5"], ","),
        (["1.250", "1 234,5"], ","),
        (["1", "20", "n/a", None], ""),
        (["1 234", "1'234", "7"], ""),
        ([1.25, 1.031, 7], "."),
        ([1.25, "1.031", "12,5"], ","),
        ([None, None], ""),
        (["1.250", "x", "2,5"], ","),
    ],
)
def test_what_settles_a_column(cells, mark):
    settled = row_checks.settle(column(cells), KM)
    assert settled.attributes[0].decimal == mark


DOUBTFUL = st.sampled_from(["1.250", "1,031", "-2.375", "12.500", "999,999"])
SURE = {
    ".": st.sampled_from(["12.5", "0.125", "1,234.5", "1,234,567", "1.2345", "2.5e3"]),
    ",": st.sampled_from(["12,5", "0,125", "1.234,5", "1.234.567", "1,2345", "9,99"]),
}
SILENT = st.sampled_from(["7", "1 234", "-3", "1e3", "x", "n/a", "1.2.3"])


@settings(max_examples=60)
@given(
    st.lists(DOUBTFUL, max_size=5),
    st.lists(SURE["."], max_size=3),
    st.lists(SURE[","], max_size=3),
    st.lists(SILENT, max_size=3),
    st.randoms(),
)
def test_proofs_settle_doubt_and_contradict(doubtful, point, comma, silent, rng):
    cells = [*doubtful, *point, *comma, *silent]
    if not cells:
        return
    rng.shuffle(cells)
    refused = bool(point and comma) or bool(doubtful and not point and not comma)
    if refused:
        with pytest.raises(UserError) as told:
            row_checks.check_rows(column(cells), dataclasses.replace(KM))
        text = str(told.value)
        assert text.startswith("t.csv: column 'km' ") and "\n" not in text
        assert '"decimal"' in text and "attributes[0]" in text
        for marked, name in ((point, "point"), (comma, "comma")):
            if point and comma:
                assert f"{len(marked)} with a decimal {name} (" in text
        return
    decided = "." if point else ","
    frame, rejected = row_checks.check_rows(column(cells), KM)
    for place, cell in enumerate(cells):
        expected = read_number(cell, decided)
        if expected is None:
            assert place not in frame.index or np.isnan(frame["km"][place])
        else:
            assert frame["km"][place] == expected
    assert len(frame) + len(rejected) == len(cells)


@settings(max_examples=60)
@given(
    st.from_regex(r"[+-]?[0-9]{0,5}([.,' ][0-9]{0,4}){0,3}(e[0-9])?", fullmatch=True)
)
def test_the_quick_look_agrees_with_reading(cell):
    found = decimals.find_writing(column([cell, "x"]), "km")
    cell = cell.strip()
    readings = {m: read_number(cell, m) for m in MARKS if cell}
    known = {mark: value for mark, value in readings.items() if value is not None}
    assert found.marks == (set(known) if len(known) == 1 else set())
    assert bool(found.doubtful) == (len(set(known.values())) == 2)


@pytest.mark.parametrize(
    ("of", "name", "cell", "words"),
    [
        (KM, "km", "1.031", ['"decimal": "." (1.031)', '"," (1031)', "attributes[0]"]),
        (KM, "km", "1,031", ['"decimal": "." (1031)', '"," (1.031)', "attributes[0]"]),
        (PRICE, "price", "1.031 €", ['"." (1.031)', '"," (1031)', "in target of"]),
    ],
)
def test_a_column_that_stays_doubtful_is_refused_with_the_key_that_chooses(
    of, name, cell, words
):
    with pytest.raises(UserError) as told:
        row_checks.check_rows(column([cell, "7"], name), of)
    for word in [f"column '{name}'", repr(cell), *words]:
        assert word in str(told.value)


@pytest.mark.parametrize(("mark", "number"), [(".", 1.031), (",", 1031)])
def test_the_key_chooses(mark, number):
    text = schema.dumps(KM).replace(
        '"log": false', f'"log": false, "decimal": "{mark}"'
    )
    chosen = schema.loads(text)
    assert read(["1.031", "7"], chosen).tolist() == [number, 7]
    priced = dataclasses.replace(PRICE, target=Target("price", "EUR", decimal=mark))
    assert read(["1.031 €", "7"], priced, "price").tolist() == [number, 7]
    # A typing error against it costs a row, and does not change the others.
    odd = {".": "9,5", ",": "9.5"}[mark]
    frame, rejected = row_checks.check_rows(column(["1.031", odd]), chosen)
    assert frame["km"].tolist() == [number]
    assert f"'{odd}' has a decimal" in rejected[0].reason


def test_numbers_of_parquet_and_python_are_numbers(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"km": [1.031, 2.25], "price": [1031, 7]}), path)
    of = dataclasses.replace(KM, target=Target("price"))
    settled = row_checks.settle(read_table(path), of)
    assert (settled.attributes[0].decimal, settled.target.decimal) == (".", ".")
    frame, _ = row_checks.check_rows(read_table(path), of)
    assert frame["km"].tolist() == [1.031, 2.25]
    comma = Schema((dataclasses.replace(KM.attributes[0], decimal=","),))
    options = {"need_target": False}
    assert read([1.031], comma, **options).tolist() == [1.031]
    assert read([1.031, "1.031"], comma, **options).tolist() == [1.031, 1031]
    numbers = pd.DataFrame({"km": [1.031, 12.5]})
    frame, _ = row_checks.check_rows(from_rows(numbers), comma, need_target=False)
    assert frame["km"].tolist() == [1.031, 12.5]
    texts = numbers.astype(str)
    frame, _ = row_checks.check_rows(from_rows(texts), KM, need_target=False)
    assert frame["km"].tolist() == [1.031, 12.5]


def test_new_rows_are_refused_one_by_one():
    """In predict a column costs no more than its doubtful cells."""

    def outcome(cells: list, decimal: str) -> list:
        of = Schema((dataclasses.replace(KM.attributes[0], decimal=decimal),))
        frame, rejected = row_checks.check_rows(column(cells), of, need_target=False)
        assert all("may be 1031 or 1.031" in r.reason for r in rejected)
        return [frame["km"].get(place) for place in range(len(cells))]

    assert outcome(["1.031", "7"], "") == [None, 7]  # whole numbers in training
    assert outcome(["1.031", "7,5"], "") == [1031, 7.5]
    assert outcome(["1.031", "7,5", "7.5"], "") == [None, 7.5, 7.5]
    assert outcome(["1.031"], ",") == [1031]
    assert outcome(["1.031"], ".") == [1.031]
    # A file that is written in another way than that of training.
    assert outcome(["1.031", "7.5"], ",") == [None, 7.5]
    assert outcome(["1.031", "7,5"], ".") == [None, 7.5]


def test_columns_of_one_attribute_are_written_alike():
    both = Schema((Attribute("stone", "continuous", ("a", "b")),))

    def settled(a: list, b: list) -> str:
        rows = [{"a": x, "b": y} for x, y in zip(a, b, strict=True)]
        return row_checks.settle(from_rows(rows), both).attributes[0].decimal

    assert settled(["1,5", "2"], ["1.250", "7"]) == ","
    assert settled([1.5, 2], ["1,5", "7"]) == ","
    with pytest.raises(UserError, match="columns 'a' and 'b' write decimals in differ"):
        settled(["1,5", "2"], ["1.5", "7"])


def test_only_doubt_changes_the_schema_and_its_hash():
    sure = column(["12.5", "948.00", "7", "1,234.5"])
    assert decimals.settle_doubtful(sure, KM) == KM
    assert infer(sure).attributes == (
        Attribute("km", "continuous", ("km",), log=infer(sure).attributes[0].log),
    )
    doubtful = column(["12,5", "948,00", "7", "1.234"])
    assert decimals.settle_doubtful(doubtful, KM).attributes[0].decimal == ","
    assert infer(doubtful).attributes[0].decimal == ","
    assert '"decimal": ","' in schema.dumps(infer(doubtful))
    assert schema.loads(schema.dumps(infer(doubtful))) == infer(doubtful)


def test_a_long_column_is_looked_at_without_a_loop(monkeypatch):
    """Plain decimals and whole numbers, however many, are not read one by one."""
    rng = random.Random(0)
    cells = [f"{rng.random() * 5000:.{i % 3}f}" for i in range(3000)]
    monkeypatch.setattr(decimals, "read_number", None)
    assert decimals.find_writing(column(cells), "km").marks == {"."}
