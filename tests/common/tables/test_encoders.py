import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from common.tables import encoders, set_cells
from common.tables.cells import TEXT
from common.tables.encoders import AttributeSize, AttributeSpec, Encoders
from common.tables.schema import Attribute, Schema

SCHEMA = Schema(
    (
        Attribute("metal", "categorical", ("metal",)),
        Attribute("stone", "continuous", ("carat", "inch"), log=True),
        Attribute("materials", "set", ("materials",), separator="|"),
        Attribute("year", "continuous", ("year",)),
        Attribute("shop", "categorical", ("shop",)),
    )
)


def frame_of(metal, carat, inch, materials, year, shop) -> pd.DataFrame:
    texts = {"metal": metal, "materials": materials, "shop": shop}
    numbers = {"carat": carat, "inch": inch, "year": year}
    return pd.DataFrame(
        {name: pd.Series(cells, dtype=TEXT) for name, cells in texts.items()}
        | {name: np.array(cells, np.float64) for name, cells in numbers.items()}
    )


TRAIN = frame_of(
    metal=["gold", "silver", "gold", None, "brass"],
    carat=[0, 3, np.nan, 3, 0],
    inch=[np.nan] * 5,
    materials=["jade|ruby", "ruby", None, " opal | ruby ||ruby", "|"],
    year=[2000, 2002, 2004, 2006, 2008],
    shop=["x"] * 5,
)
FITTED = Encoders.fit(TRAIN, SCHEMA)


def test_vocabularies_are_ordered_by_count_then_name():
    metal, _, materials, _, shop = FITTED.attributes
    assert metal.categories == ("gold", "brass", "silver")
    # A member counts once a row, however often the cell repeats it.
    assert materials.categories == ("ruby", "jade", "opal")
    assert shop.categories == ("x",)


def test_spec_counts_the_reserved_rows():
    assert FITTED.spec() == AttributeSpec(
        (
            AttributeSize("metal", "categorical", 5),
            AttributeSize("stone", "continuous", 2),
            AttributeSize("materials", "set", 5),
            AttributeSize("year", "continuous", 1),
            AttributeSize("shop", "categorical", 3),
        )
    )
    assert FITTED.spec().names == ("metal", "stone", "materials", "year", "shop")
    assert [place for _, place in FITTED.spec().slices()] == [
        *(slice(0, 1), slice(0, 2), slice(0, 5), slice(2, 3), slice(1, 2))
    ]
    assert hash(FITTED.spec()) == hash(Encoders.fit(TRAIN, SCHEMA).spec())


def test_encode_the_training_rows_by_hand():
    arrays = FITTED.encode(TRAIN)
    assert {key: array.dtype.name for key, array in arrays.items()} == {
        "categorical": "int32",
        "continuous": "float32",
        "missing": "float32",
        "sets": "float32",
    }
    np.testing.assert_array_equal(
        arrays["categorical"], [[2, 2], [4, 2], [2, 2], [1, 2], [3, 2]]
    )
    np.testing.assert_array_equal(
        arrays["sets"],  # unknown, missing, ruby, jade, opal
        [
            [0, 0, 1, 1, 0],
            [0, 0, 1, 0, 0],
            [0, 1, 0, 0, 0],
            [0, 0, 1, 0, 1],
            [0, 1, 0, 0, 0],
        ],
    )
    np.testing.assert_array_equal(
        arrays["missing"], [[0, 1, 0], [0, 1, 0], [1, 1, 0], [0, 1, 0], [0, 1, 0]]
    )
    # Carat: the known ones have mean 1.5; log1p gives 0, h, m, h, 0.
    h, m = math.log(4), math.log(2.5)
    center = (2 * h + m) / 5
    spread = math.sqrt((2 * center**2 + 2 * (h - center) ** 2 + (m - center) ** 2) / 5)
    carat = [(x - center) / spread for x in (0, h, m, h, 0)]
    # Inch is never known: constant. Year: no logarithm, deviation sqrt(8).
    year = [-4 / math.sqrt(8), -2 / math.sqrt(8), 0, 2 / math.sqrt(8), 4 / math.sqrt(8)]
    expected = np.stack([carat, [0] * 5, year], axis=1)
    np.testing.assert_allclose(arrays["continuous"], expected, rtol=1e-6, atol=1e-7)


def test_encode_new_rows_with_train_statistics_only():
    rows = frame_of(
        metal=["iron", "gold"],
        carat=[-3, 1e30],
        inch=[7, np.nan],
        materials=["glass|ruby", "wood|glass"],
        year=[2004, np.nan],
        shop=[None, "y"],
    )
    arrays = FITTED.encode(rows)
    np.testing.assert_array_equal(arrays["categorical"], [[0, 1], [2, 0]])
    np.testing.assert_array_equal(arrays["sets"], [[1, 0, 1, 0, 0], [1, 0, 0, 0, 0]])
    stone = FITTED.attributes[1]
    # Below zero the logarithm is mirrored.
    low = (-math.log(4) - stone.center[0]) / stone.scale[0]
    high = (math.log1p(1e30) - stone.center[0]) / stone.scale[0]
    # A variable that train never showed has mean 0 and scale 1.
    np.testing.assert_allclose(
        arrays["continuous"], [[low, math.log(8), 0], [high, 0, 0]], rtol=1e-6
    )
    assert encoders.count_unseen(arrays, FITTED.spec()) == {
        "metal": 1,
        "materials": 2,
        "shop": 1,
    }
    assert encoders.count_unseen(FITTED.encode(TRAIN), FITTED.spec()) == {}


def test_constants_and_typing_errors_stay_within_limits():
    schema = Schema((Attribute("year", "continuous", ("year",)),))
    train = pd.DataFrame({"year": [0.1] * 3})
    fitted = Encoders.fit(train, schema)
    assert fitted.attributes[0].scale == (1.0,)
    wrong = pd.DataFrame({"year": [3e38, -3e38, 0.1]})
    values = fitted.encode(wrong)["continuous"][:, 0]
    np.testing.assert_allclose(values, [1000, -1000, 0], atol=1e-9)


@pytest.mark.parametrize(
    ("text", "separator", "expected"),
    [
        (" a | b||c ", "|", ["a", "b", "c"]),
        ("json|js on", "|", ["json", "js on"]),
        (
            '{"Fabric": "Cotton", "Neck": ["Polo", "V"]}',
            "json",
            ["Fabric: Cotton", "Neck: Polo", "Neck: V"],
        ),
        ('["white", " cotton "]', "json", ["white", "cotton"]),
    ],
)
def test_members_by_hand(text, separator, expected):
    assert set_cells.members(text, separator) == expected


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.text("a |:é\n")))
def test_members_of_a_map_of_texts(entries):
    expected = [f"{k.strip()}: {v.strip()}" for k, v in entries.items() if v.strip()]
    assert set_cells.members(json.dumps(entries), "json") == expected
    text = json.dumps(entries, ensure_ascii=False, indent=1)
    assert set_cells.members(text, "json") == expected


def test_a_column_of_json_by_hand():
    schema = Schema((Attribute("details", "set", ("details",), separator="json"),))
    cells = ['{"Fit": "Slim", "Neck": "V"}', '{"Fit":"Slim"}', "{}", None]
    train = pd.DataFrame({"details": pd.Series(cells, dtype=TEXT)})
    fitted = Encoders.fit(train, schema)
    assert fitted.attributes[0].categories == ("Fit: Slim", "Neck: V")
    assert Encoders.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted
    cells = ['{"Neck": "V"}', '{"Fit": ["Slim", "Wide"]}', '["V"]', "[]", None]
    new = pd.DataFrame({"details": pd.Series(cells, dtype=TEXT)})
    np.testing.assert_array_equal(
        fitted.encode(new)["sets"],  # unknown, missing, Fit: Slim, Neck: V
        [[0, 0, 0, 1], [1, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]],
    )


def test_min_count_leaves_rare_categories_to_the_unknown_row():
    fitted = Encoders.fit(TRAIN, SCHEMA, min_count=2)
    assert fitted.attributes[0].categories == ("gold",)
    assert fitted.attributes[2].categories == ("ruby",)
    arrays = fitted.encode(TRAIN)
    assert arrays["categorical"][:, 0].tolist() == [2, 0, 2, 1, 0]
    assert arrays["sets"].tolist()[0] == [1, 0, 1]
    assert encoders.count_unseen(arrays, fitted.spec()) == {"metal": 2, "materials": 2}


def test_no_attributes_and_no_rows_have_arrays_of_zero_width():
    arrays = Encoders.fit(TRAIN, Schema(())).encode(TRAIN)
    assert {array.shape for array in arrays.values()} == {(5, 0)}
    arrays = FITTED.encode(TRAIN.iloc[:0])
    assert {key: array.shape for key, array in arrays.items()} == {
        "categorical": (0, 2),
        "continuous": (0, 3),
        "missing": (0, 3),
        "sets": (0, 5),
    }


numbers = st.none() | st.floats(-3e38, 3e38) | st.sampled_from([0.0, 1.0, 5e-324])
texts = st.none() | st.text("ab|é ", min_size=1, max_size=4)
rows = st.lists(st.tuples(texts, numbers, numbers, texts, numbers, texts), max_size=6)


@given(rows, rows)
def test_encode_is_total_and_json_exact(train, new):
    def frame(cells):
        columns = list(zip(*cells, strict=True)) or [[]] * 6
        metal, carat, inch, materials, year, shop = columns
        return frame_of(metal, *map(list, (carat, inch, materials, year, shop)))

    fitted = Encoders.fit(frame(train), SCHEMA)
    text = json.dumps(fitted.to_json(), allow_nan=False)
    again = Encoders.from_json(json.loads(text))
    assert again == fitted
    spec = fitted.spec()
    sizes = [a.size for a in spec.attributes if a.kind == "categorical"]
    arrays = fitted.encode(frame(new))
    same = again.encode(frame(new))
    for key, array in arrays.items():
        assert len(array) == len(new)
        assert np.isfinite(array).all()
        np.testing.assert_array_equal(array, same[key])
    assert (np.abs(arrays["continuous"]) <= encoders.LIMIT).all()
    assert ((arrays["categorical"] >= 0) & (arrays["categorical"] < [sizes])).all()
    assert (arrays["sets"].sum(axis=1) >= 1).all()
    # The rows that were fitted hold nothing unknown.
    assert encoders.count_unseen(fitted.encode(frame(train)), spec) == {}


@pytest.mark.parametrize(
    "value",
    [{}, {"attributes": [{}]}, {"attributes": 3}, {"attributes": [{"attribute": 1}]}],
)
def test_from_json_refuses_what_to_json_did_not_write(value):
    with pytest.raises(UserError, match="the encoders' file is damaged"):
        Encoders.from_json(value)


def record(fitted: Encoders, row: int) -> dict[str, np.ndarray]:
    return {key: array[row] for key, array in fitted.encode(TRAIN).items()}


def test_replace_unseen_hides_known_categories_only():
    given_record = record(FITTED, 3)  # metal missing; opal and ruby
    before = {key: array.copy() for key, array in given_record.items()}
    rng = np.random.default_rng(0)
    hidden = encoders.replace_unseen(given_record, rng, 1.0, FITTED.spec())
    assert hidden["categorical"].tolist() == [1, 0]
    assert hidden["categorical"].dtype == np.int32
    assert hidden["sets"].tolist() == [1, 0, 0, 0, 0]
    np.testing.assert_array_equal(hidden["continuous"], before["continuous"])
    for key, array in before.items():
        np.testing.assert_array_equal(given_record[key], array)
    kept = encoders.replace_unseen(given_record, rng, 0.0, FITTED.spec())
    for key, array in before.items():
        np.testing.assert_array_equal(kept[key], array)
    empty = encoders.replace_unseen(record(FITTED, 2), rng, 1.0, FITTED.spec())
    assert empty["sets"].tolist() == [0, 1, 0, 0, 0]


def test_replace_unseen_keeps_to_the_rate():
    rng = np.random.default_rng(1)
    whole, spec = record(FITTED, 0), FITTED.spec()
    draws = [encoders.replace_unseen(whole, rng, 0.1, spec) for _ in range(4000)]
    ids = np.stack([draw["categorical"] for draw in draws])
    sets = np.stack([draw["sets"] for draw in draws])
    # Three standard deviations of a share of 0.1 in 4000 draws: 0.0143.
    np.testing.assert_allclose((ids == 0).mean(axis=0), 0.1, atol=0.0143)
    np.testing.assert_allclose((sets[:, 2:4] == 0).mean(axis=0), 0.1, atol=0.0143)
    np.testing.assert_array_equal(sets[:, 0] == 1, (sets[:, 2:4] == 0).any(axis=1))


WORDY = Schema(
    (
        Attribute("title", "text", ("title",)),
        Attribute("metal", "categorical", ("metal",)),
        Attribute("note", "text", ("note",)),
    )
)


def wordy(title, metal, note) -> pd.DataFrame:
    texts = {"title": title, "metal": metal, "note": note}
    return pd.DataFrame({n: pd.Series(cells, dtype=TEXT) for n, cells in texts.items()})


WORDY_TRAIN = wordy(
    ["gold ring", "gold ring old", None, "gold"],
    ["gold", None, "gold", "brass"],
    ["ok", "ok", "ok fine", ""],
)


def test_texts_keep_their_place_and_stand_side_by_side():
    fitted = Encoders.fit(WORDY_TRAIN, WORDY)
    # Vocabularies: gold, "gold ring", ring; and ok. Padding and 256 buckets before them.
    assert fitted.spec() == AttributeSpec(
        (
            AttributeSize("title", "text", 260, 4),
            AttributeSize("metal", "categorical", 4),
            AttributeSize("note", "text", 258, 2),
        )
    )
    places = [slice(0, 4), slice(0, 1), slice(4, 6)]
    assert [place for _, place in fitted.spec().slices()] == places
    assert [(i, at) for i, _, at in fitted.spec().texts()] == [
        (0, places[0]),
        (2, places[2]),
    ]
    arrays = fitted.encode(WORDY_TRAIN)
    title, _, note = fitted.attributes
    for words, place in ((title, places[0]), (note, places[2])):
        alone = words.encoder.encode(WORDY_TRAIN[words.attribute.name].tolist())
        np.testing.assert_array_equal(arrays["word_ids"][:, place], alone["ids"])
        np.testing.assert_array_equal(
            arrays["word_weights"][:, place], alone["weights"]
        )
    assert arrays["word_ids"][2].tolist()[:4] == [0, 0, 0, 0]  # an empty cell
    assert arrays["categorical"][:, 0].tolist() == [2, 1, 2, 3]
    assert {name: (a.shape[1], a.dtype) for name, a in arrays.items()} == {
        name: (width, np.dtype(dtype))
        for name, (width, dtype) in fitted.spec().arrays().items()
    }


def test_texts_are_json_exact_and_pass_through_where_categories_are_hidden():
    fitted = Encoders.fit(WORDY_TRAIN, WORDY)
    text = json.dumps(fitted.to_json(), allow_nan=False)
    assert Encoders.from_json(json.loads(text)) == fitted
    arrays = fitted.encode(WORDY_TRAIN)
    assert encoders.count_unseen(arrays, fitted.spec()) == {}
    row = {name: array[1] for name, array in arrays.items()}
    rng = np.random.default_rng(0)
    hidden = encoders.replace_unseen(row, rng, 1.0, fitted.spec())
    for name in ("word_ids", "word_weights"):
        np.testing.assert_array_equal(hidden[name], arrays[name][1])


@pytest.mark.parametrize(
    "damage",
    [{}, None, {"terms": ["a"], "texts": 1, "counts": [1], "length": 1}],
    ids=["empty", "none", "lengths"],
)
def test_a_damaged_encoder_of_texts_is_refused(damage):
    value = json.loads(json.dumps(Encoders.fit(WORDY_TRAIN, WORDY).to_json()))
    value["attributes"][0]["encoder"] = damage
    with pytest.raises(UserError, match="the encoders' file is damaged"):
        Encoders.from_json(value)
