import dataclasses
import json
import pathlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from common.tables import schema
from common.tables.schema import Attribute, Group, Images, Schema, Target

WHOLE = Schema(
    attributes=(
        Attribute("metal", "categorical", ("metal",)),
        Attribute("centre stone", "continuous", ("carat", "inch"), log=True),
        Attribute("materials", "set", ("materials",), separator="|"),
    ),
    images=Images(("front", "back"), separator=";"),
    target=Target("price", "JPY"),
    group=Group(("title",), photo_hash=False),
    time="sold",
    split="fold",
    id="item",
    ignored=(("note", 'free "text"'), ("größe", "leer")),
)

WHOLE_TEXT = """\
{
  "images": {"columns": ["front", "back"], "separator": ";"},
  "target": {"column": "price", "currency": "JPY"},
  "group": {"columns": ["title"], "photo_hash": false},
  "time": "sold",
  "split": "fold",
  "id": "item",
  "attributes": [
    {"name": "metal", "kind": "categorical", "columns": ["metal"]},
    {"name": "centre stone", "kind": "continuous", "columns": ["carat", "inch"], \
"log": true},
    {"name": "materials", "kind": "set", "columns": ["materials"], "separator": "|"}
  ],
  "ignored": {
    "note": "free \\"text\\"",
    "größe": "leer"
  }
}
"""


def test_the_file_is_laid_out_for_reading(tmp_path):
    schema.save(WHOLE, tmp_path / "schema.json")
    assert (tmp_path / "schema.json").read_text(encoding="utf-8") == WHOLE_TEXT
    assert schema.load(tmp_path / "schema.json") == WHOLE


def test_only_attributes_must_be_given():
    assert schema.loads('{"attributes": []}') == Schema(())
    text = '{"attributes": [{"name": "a", "kind": "categorical", "columns": ["b"]}]}'
    assert schema.loads(text).attributes == (Attribute("a", "categorical", ("b",)),)


def test_columns_lists_inputs_first_and_each_once():
    assert WHOLE.columns() == (
        *("item", "front", "back", "metal", "carat", "inch", "materials"),
        *("price", "title", "sold", "fold"),
    )
    assert WHOLE.input_columns() == WHOLE.columns()[:7]
    twice = Schema((Attribute("a", "categorical", ("t",)),), group=Group(("t",)))
    assert twice.columns() == ("t",)


def test_marks_and_currencies_stand_in_the_file_where_they_are_set():
    text = """\
{
  "images": null,
  "target": {"column": "p", "currency": "EUR", "currency_column": "c", "decimal": ","},
  "group": null,
  "time": null,
  "split": null,
  "id": null,
  "attributes": [
    {"name": "km", "kind": "continuous", "columns": ["km"], "log": true, "decimal": "."}
  ],
  "ignored": {}
}
"""
    value = Schema(
        (Attribute("km", "continuous", ("km",), log=True, decimal="."),),
        target=Target("p", "EUR", "c", ","),
    )
    assert schema.dumps(value) == text
    assert schema.loads(text) == value
    assert value.columns() == ("km", "p", "c")


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)


@st.composite
def schemas(draw):
    columns = iter(draw(st.lists(names, min_size=15, max_size=15, unique=True)))
    attributes = []
    for kind in draw(st.lists(st.sampled_from(["categorical", "continuous", "set"]))):
        own = tuple(next(columns, "") for _ in range(2 if kind == "continuous" else 1))
        if not all(own):
            break
        separator = draw(names) if kind == "set" else ""
        log = kind == "continuous" and draw(st.booleans())
        mark = draw(st.sampled_from(["", ".", ","])) if kind == "continuous" else ""
        attributes.append(Attribute(own[0], kind, own, separator, log, mark))

    def maybe(make):
        column = next(columns, None)
        return make(column) if column and draw(st.booleans()) else None

    return Schema(
        tuple(attributes),
        images=maybe(lambda column: Images((column,), draw(st.just("") | names))),
        target=maybe(
            lambda column: Target(
                column,
                draw(st.sampled_from(["", "EUR"])),
                next(columns, ""),
                draw(st.sampled_from(["", ","])),
            )
        ),
        group=maybe(lambda column: Group((column,), draw(st.booleans()))),
        time=maybe(str),
        split=maybe(str),
        id=maybe(str),
        ignored=tuple(draw(st.dictionaries(names, names, max_size=3)).items()),
    )


@given(schemas())
def test_json_round_trip_is_exact(value):
    assert schema.loads(schema.dumps(value)) == value


METAL = {"name": "m", "kind": "categorical", "columns": ["metal"]}
STONE = {"name": "s", "kind": "continuous", "columns": ["carat"]}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"atributes": []}, r"unknown key 'atributes' \(did you mean 'attributes'\?\)"),
        ({"target": {"colum": "p"}}, r"target has an unknown key 'colum' \(did you me"),
        ({"target": {}}, "target lacks the key 'column'"),
        ({"target": {"column": ""}}, "target.column is empty"),
        ({"target": {"column": "p", "currency": "usd"}}, "'usd': write a code such as"),
        ({"target": "price"}, r"target must be an object \{…\}, not \"price\""),
        ({"target": {"column": 3}}, "target.column must be a text in quotes, not 3"),
        (
            {"images": {"columns": "photo"}},
            r'images.columns must be a list .*\["title"',
        ),
        (
            {"images": {"columns": [None]}},
            r"images.columns\[0\] must be a text .* null",
        ),
        ({"images": {"columns": []}}, "images.columns is empty"),
        (
            {"group": {"columns": [], "photo_hash": 1}},
            "photo_hash must be true or fals",
        ),
        ({"group": {"columns": [], "photo_hash": False}}, "group.columns is empty"),
        ({"time": 7}, "time must be a text in quotes, not 7"),
        ({"ignored": ["x"]}, "ignored must be an object"),
        ({"attributes": {}}, "attributes must be a list"),
        ({"attributes": [3]}, r"attributes\[0\] must be an object"),
        (
            {"attributes": [METAL | {"kind": "categorial"}]},
            "did you mean 'categorical'",
        ),
        ({"attributes": [METAL | {"kind": 1}]}, r"attributes\[0\].kind must be a text"),
        ({"attributes": [METAL | {"name": ""}]}, r"attributes\[0\].name is empty"),
        ({"attributes": [METAL, METAL]}, r"attributes\[1\].name 'm' is taken"),
        ({"attributes": [METAL | {"columns": []}]}, "needs exactly one column"),
        ({"attributes": [METAL | {"columns": ["a", "b"]}]}, "needs exactly one column"),
        ({"attributes": [STONE | {"columns": []}]}, "needs at least one column"),
        ({"attributes": [STONE | {"columns": ["a", "a"]}]}, "names a column twice"),
        ({"attributes": [METAL | {"kind": "set"}]}, "separator is missing"),
        ({"attributes": [METAL | {"separator": "|"}]}, "separator is for sets"),
        (
            {"attributes": [METAL | {"kind": "set", "separator": "JSON"}]},
            r'attributes\[0\].separator: write "json" in small letters',
        ),
        (
            {"images": {"columns": ["photo"], "separator": "Json"}},
            'images.separator: write "json" in small letters',
        ),
        ({"attributes": [METAL | {"log": True}]}, "log is for continuous"),
        ({"attributes": [METAL | {"decimal": "."}]}, "decimal is for continuous"),
        (
            {"attributes": [STONE | {"decimal": ";"}]},
            r"attributes\[0\].decimal ';': wr",
        ),
        ({"target": {"column": "p", "decimal": "x"}}, "target.decimal 'x': write"),
        (
            {"target": {"column": "p", "currency_column": "p"}},
            "'p' is both target and target.currency_column",
        ),
        (
            {"attributes": [STONE], "target": {"column": "carat"}},
            r"'carat' is both target and attributes\[0\]",
        ),
        (
            {"attributes": [METAL], "target": {"column": "metal"}},
            r"'metal' is both target and attributes\[0\]",
        ),
        (
            {"attributes": [STONE, STONE | {"name": "t"}]},
            r"both attributes\[0\] and attributes\[1\]",
        ),
        ({"attributes": [STONE], "id": "carat"}, r"both attributes\[0\] and id"),
        ({"time": "t", "split": "t"}, "'t' is both time and split"),
    ],
)
def test_mistakes_are_named_by_file_and_field(tmp_path, fields, message):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps({"attributes": []} | fields))
    with pytest.raises(UserError, match=message) as caught:
        schema.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON at line 1, column 1"),
        (b'{"attributes": [],\n}', "not valid JSON at line 2, column 1|line 1, column"),
        (b'{"attributes": [], "attributes": []}', "'attributes' stands twice"),
        (b'{"attributes": [], "time": "\\ud800"}', "holds half a character"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"attributes": "\xff"}', "not UTF-8 at byte 16"),
        (b"null", "the schema must be an object"),
    ],
)
def test_damaged_files_give_one_line(tmp_path, data, message):
    path = tmp_path / "schema.json"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message):
        schema.load(path)


def test_missing_files_and_folders_give_one_line(tmp_path):
    with pytest.raises(UserError, match="can't read the schema: No such file"):
        schema.load(tmp_path / "missing.json")
    with pytest.raises(UserError, match="can't write the schema: Is a directory"):
        schema.save(WHOLE, tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [field.name for field in dataclasses.fields(Schema)]
                + ["name", "kind", "columns", "column", "separator", "log"]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
)


@given(st.dictionaries(st.sampled_from(["attributes", "images", "time"]), json_values))
def test_any_json_is_a_schema_or_a_user_error(value):
    try:
        schema.loads(json.dumps(value))
    except UserError as error:
        assert "\n" not in str(error)


def test_models_can_import_schema_and_encoders_without_pandas():
    code = (
        "import sys; sys.modules['pandas'] = None;"
        " import common.tables.schema, common.tables.encoders, common.layers.embeddings"
    )
    root = pathlib.Path(schema.__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_a_path_with_a_nul_and_endless_digits_are_refused():
    for door in (schema.load, lambda path: schema.save(WHOLE, path)):
        with pytest.raises(UserError, match="embedded null"):
            door("a\0b")
    with pytest.raises(UserError, match="too many digits"):
        schema.loads('{"attributes": 1' + "0" * 5000 + "}")
