import dataclasses
import json
import math
import pathlib
import runpy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.serving import export, standalone
from common.tables import cells, encoders, row_checks, set_cells, table
from common.tables.schema import Attribute, Schema

SCHEMA = Schema(
    (
        Attribute("metal", "categorical", ("metal",)),
        Attribute("stone", "continuous", ("carat", "inch"), log=True),
        Attribute("weight", "continuous", ("weight",)),
        Attribute("materials", "set", ("materials",), separator="|"),
        Attribute("country", "categorical", ("country",)),
    )
)
TRAIN = [
    {"metal": "gold", "carat": 1.0, "inch": 0.5, "weight": 3, "materials": "a|b"},
    {"metal": "silver", "carat": 3.0, "weight": 5, "materials": "b", "country": "NA"},
    {"metal": "gold", "inch": 0.25, "weight": 4.5, "country": "JP"},
]


def frame_of(records):
    whole = [{name: None for name in SCHEMA.input_columns()} | r for r in records]
    frame, rejected = row_checks.check_rows(
        table.from_rows(whole), SCHEMA, need_target=False
    )
    assert not rejected
    return frame


@pytest.fixture(scope="module")
def fitted():
    return encoders.Encoders.fit(frame_of(TRAIN), SCHEMA)


def test_constants_are_those_of_training():
    assert standalone.UNKNOWN == encoders.UNKNOWN
    assert standalone.MISSING == encoders.MISSING
    assert standalone.RESERVED == encoders.RESERVED
    assert standalone.LIMIT == encoders.LIMIT
    assert standalone.NO_NUMBER == cells.NO_NUMBER | {""}


@pytest.mark.parametrize(
    ("decimal", "text", "number"),
    [
        (",", "1.031", 1031),
        (",", "948,50", 948.5),
        (",", "1.234.567,5", 1234567.5),
        (",", "1,031", 1.031),
        (",", "12.5", 12.5),
        (",", "1e3", 1000),
        (".", "1.031", 1.031),
        (".", "12.5", 12.5),
        (".", "948,50", None),
        ("", "1.031", None),
        ("", "0.125", 0.125),
        (",", 1.031, 1.031),
        ("", 1.031, 1.031),
    ],
)
def test_texts_are_numbers_as_their_column_had_them_in_training(decimal, text, number):
    schema = Schema((Attribute("km", "continuous", ("km",), decimal=decimal),))
    rows = table.from_rows([{"km": 1}, {"km": 2000}])
    frame, _ = row_checks.check_rows(rows, schema)
    fitted = encoders.Encoders.fit(frame, schema)
    served = standalone.AttributeEncoder(fitted.to_json())
    if number is None:
        with pytest.raises(standalone.InputError, match="km="):
            served.encode([{"km": text}])
        return
    found = served.encode([{"km": text}])["continuous"]
    np.testing.assert_array_equal(found, served.encode([{"km": number}])["continuous"])
    new = table.from_rows([{"km": text}])
    frame, rejected = row_checks.check_rows(new, schema, need_target=False)
    assert not rejected
    np.testing.assert_allclose(fitted.encode(frame)["continuous"], found, rtol=1e-6)


def test_encoding_by_hand(fitted):
    encoder = standalone.AttributeEncoder(fitted.to_json())
    got = encoder.encode(
        [{"metal": " silver ", "weight": "5", "materials": ["b", "x"]}]
    )
    # Vocabularies by frequency, from id 2: gold 2, silver 3; b 2, a 3 among the sets.
    assert got["categorical"].tolist() == [[3, 1]]
    assert got["sets"].tolist() == [[1, 0, 1, 0]]
    assert got["missing"].tolist() == [[1, 1, 0]]
    # carat: 1 and 3, filled with 2: log1p is log 2, log 4, log 3.
    logs = np.log([2, 4, 3])
    weights = np.array([3, 5, 4.5])
    expected = [
        (np.log(3) - logs.mean()) / logs.std(),
        (5 - weights.mean()) / weights.std(),
    ]
    np.testing.assert_allclose(got["continuous"][0, [0, 2]], expected, rtol=1e-6)


text = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), max_size=4
)
number = st.floats(-1e30, 1e30) | st.integers(-100, 100) | st.just(math.nan)
record = st.fixed_dictionaries(
    {},
    optional={
        "metal": st.none() | text | st.sampled_from(["gold", "silver", "", " gold "]),
        "carat": st.none() | number | st.sampled_from(["n/a", "NaN", "-", "1e3", ".5"]),
        "inch": st.none() | number,
        "weight": st.none() | number,
        "materials": st.none()
        | st.lists(st.sampled_from(["a", "b", "c", " a", ""])).map("|".join),
        "country": st.none() | st.integers(0, 3) | st.booleans() | st.just(2.0),
    },
)


@settings(max_examples=60)
@given(records=st.lists(record, min_size=1, max_size=4))
def test_records_are_encoded_as_in_training(fitted, records):
    encoder = standalone.AttributeEncoder(json.loads(json.dumps(fitted.to_json())))
    wanted = fitted.encode(frame_of(records))
    got = encoder.encode(records)
    assert set(got) == set(wanted)
    for name, array in wanted.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array, err_msg=name)


def test_no_records(fitted):
    got = standalone.AttributeEncoder(fitted.to_json()).encode([])
    assert {name: array.shape for name, array in got.items()} == {
        "categorical": (0, 2),
        "continuous": (0, 3),
        "missing": (0, 3),
        "sets": (0, 4),
    }


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"weight": "heavy"}, "record 1: weight='heavy': not a number"),
        ({"weight": "1,234"}, "record 1: weight='1,234': not a number; write it as"),
        ({"weight": True}, "record 1: weight=True: give a number"),
        ({"weight": [1]}, "record 1: weight=[1]: give a number"),
        ({"weight": 1e300}, "record 1: weight=1e+300 is too large"),
        ({"weight": -(10**400)}, "is too large"),
        ({"weight": math.inf}, "record 1: weight=inf is too large"),
        ({"metal": ["gold"]}, "record 1: metal=['gold']: give a text"),
        ({"metal": {}}, "record 1: metal={}: give a text"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_values_are_named(fitted, bad, message):
    encoder = standalone.AttributeEncoder(fitted.to_json())
    with pytest.raises(standalone.InputError) as error:
        encoder.encode([{}, bad])
    assert message in str(error.value)


DETAILS = Schema((Attribute("details", "set", ("details",), separator="json"),))
entry = st.none() | st.booleans() | st.integers() | st.sampled_from(["Slim", " V ", ""])
details = st.dictionaries(
    st.sampled_from(["Fit", "Neck ", ""]),
    entry | st.floats(-1e3, 1e3) | st.lists(entry, max_size=2),
)
words = st.lists(st.sampled_from(["x", "y ", "Fit: Slim", ""]))
odd = st.sampled_from(
    [
        "",
        "null",
        "0",
        "false",
        '""',
        "x",
        "[[1]]",
        '{"Fit": {}}',
        '{"a": NaN}',
        "[1e400]",
    ]
    + ['["\\ud800"]', "[" * 100_000, "[" + "9" * 5000 + "]", " {} ", "{'a': 1}", "[,]"]
)


@settings(max_examples=200)
@given(
    st.none() | details | words | (details | words).map(json.dumps) | odd | st.text()
)
def test_json_sets_are_encoded_or_refused_as_in_training(value):
    known = [
        {"details": '{"Fit": ["Slim", 2.0], "Neck": "V"}'},
        {"details": ["x", "y"]},
    ]

    def check(rows):
        return row_checks.check_rows(table.from_rows(rows), DETAILS, need_target=False)

    fitted = encoders.Encoders.fit(check(known)[0], DETAILS)
    encoder = standalone.AttributeEncoder(json.loads(json.dumps(fitted.to_json())))
    frame, rejected = check([{"details": value}])
    if rejected:
        with pytest.raises(standalone.InputError, match="record 0: details="):
            encoder.encode([{"details": value}])
    else:
        got = encoder.encode([{"details": value}])["sets"]
        np.testing.assert_array_equal(got, fitted.encode(frame)["sets"])


def test_json_sets_by_hand():
    assert standalone.JSON == set_cells.SEPARATOR
    item = {"attribute": dataclasses.asdict(DETAILS.attributes[0])}
    item["categories"] = ["Fit: Slim", "2", "Neck: V"]
    encoder = standalone.AttributeEncoder({"attributes": [item]})
    rows = [{"Fit": ["Slim", "Wide"]}, '{"Neck": " V", "Fit": "Slim"}', ("2", 2.0)]
    got = encoder.encode([{"details": value} for value in (*rows, "[]", None)])
    assert got["sets"].tolist() == [
        [1, 0, 1, 0, 0],
        [0, 0, 1, 0, 1],
        [0, 0, 0, 1, 0],
        [0, 1, 0, 0, 0],
        [0, 1, 0, 0, 0],
    ]
    for bad, message in {
        "Slim": "details='Slim': give a JSON object or list",
        3: "details=3: give a JSON object or list",
        "[" * 100_000: f"details='{'[' * 59}: give a JSON object or list",
        '{"Fit": {"a": 1}}': "details={'a': 1}: give a text",
    }.items():
        with pytest.raises(standalone.InputError) as error:
            encoder.encode([{"details": bad}])
        assert str(error.value) == f"record 0: {message}"


TEXTS = Schema(
    (
        Attribute("title", "text", ("title",)),
        Attribute("metal", "categorical", ("metal",)),
        Attribute("note", "text", ("words of the seller",)),
    )
)
KNOWN = [
    {"title": "Gold ring 18k", "metal": "gold", "words of the seller": "worn once"},
    {"title": "gold RING, 0.5ct", "words of the seller": "18 years old"},
    {"title": "Кольцо 18k", "metal": "steel"},
    {"title": "金の指輪 18k", "words of the seller": "new; worn twice"},
]


@pytest.fixture(scope="module")
def of_texts(tmp_path_factory):
    """(encoders, the encoder of the files of an export)."""
    frame, _ = row_checks.check_rows(table.from_rows(KNOWN), TEXTS, need_target=False)
    fitted = encoders.Encoders.fit(frame, TEXTS)
    folder = tmp_path_factory.mktemp("served texts")
    (folder / "serve.py").write_bytes(pathlib.Path(standalone.__file__).read_bytes())
    (folder / standalone.WORDS).write_text(export.words_source(), encoding="utf-8")
    names = runpy.run_path(str(folder / "serve.py"))
    return fitted, names["AttributeEncoder"](json.loads(json.dumps(fitted.to_json())))


written = st.text(max_size=12) | st.lists(
    st.sampled_from(["Gold", "ring", "18k", "金の指輪", "кольцо", "worn", "💍", "2.0"])
).map(" ".join)
odd_text = st.none() | st.booleans() | st.integers(-99, 99) | st.floats(-1e30, 1e30)
texts_of_row = st.fixed_dictionaries(
    {},
    optional={
        "title": written | odd_text,
        "metal": st.sampled_from(["gold", "tin", ""]),
        "words of the seller": written | odd_text | st.just(math.nan),
    },
)


@settings(max_examples=60)
@given(rows=st.lists(texts_of_row, max_size=4))
def test_texts_are_encoded_as_in_training(of_texts, rows):
    fitted, encoder = of_texts
    columns = ("title", "metal", "words of the seller")
    # Of the first row training knows the columns, and it is taken off again.
    whole = [KNOWN[0], *({name: row.get(name) for name in columns} for row in rows)]
    frame, rejected = row_checks.check_rows(
        table.from_rows(whole), TEXTS, need_target=False
    )
    assert not rejected
    wanted = fitted.encode(frame)
    got = encoder.encode(rows)
    assert set(got) == set(wanted) == set(encoder.inputs)
    for name, array in wanted.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array[1:], err_msg=name)


def test_words_unknown_and_none(of_texts):
    fitted, encoder = of_texts
    got = encoder.encode([{"title": "gold"}, {"title": "unheard"}, {"title": " "}, {}])
    title = fitted.attributes[0].encoder
    known = 257 + title.terms.index("gold")
    first = got["word_ids"][:, 0]
    assert first[0] == known and 0 < first[1] <= 256 and not first[2:].any()
    assert got["word_weights"][:2, 0].tolist() == [1, 1]
    assert not got["word_weights"][2:].any()
    assert got["word_ids"].shape == (
        4,
        title.length + fitted.attributes[2].encoder.length,
    )


@pytest.mark.parametrize("value", [["a", "ring"], {"en": "ring"}, b"ring"], ids=str)
def test_what_is_no_text_is_named(of_texts, value):
    with pytest.raises(ValueError) as error:
        of_texts[1].encode([{}, {"title": value}])
    assert str(error.value) == f"record 1: title={value!r}: give a text"
