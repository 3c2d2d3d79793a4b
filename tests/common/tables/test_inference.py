import dataclasses
import json
import pathlib

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.tables import guess_notes, inference
from common.tables import schema as schemas
from common.tables.row_checks import check_rows
from common.tables.schema import Attribute, Group, Images, Schema, Target
from common.tables.table import from_rows, read_table

DATA = pathlib.Path(__file__).parents[4] / "shared/data"


def infer(**columns) -> Schema:
    count = max(len(cells) for cells in columns.values())
    rows = [
        {name: cells[i % len(cells)] for name, cells in columns.items()}
        for i in range(count)
    ]
    return inference.infer(from_rows(rows))


def test_a_whole_table():
    count = 40
    found = infer(
        sku=[f"s{i}" for i in range(count)],
        photo=[f"p/{i}.JPG;p/{i}b.png" for i in range(count)],
        title=[f"Fine ring, number {'x' * i}" for i in range(count)],
        priceEUR=[f"{i + 1},50" for i in range(count)],
        old_price=[str(i + 9) for i in range(count)],
        metal=["gold", "silver", None],
        signed=["0", "1"],
        carat=["0", "0", "0.3", "n/a", "5.2"],
        year=[1990, 2000, 2010, 2020],
        stones=["ruby|opal", "ruby", "opal", "jade|ruby|opal", "jade", "opal|jade"],
        bids=[str(i) for i in range(count)],
        listed_date=["2019-01-02", "2019-03-04"],
        sold_date=["2019-02-02", "2019-04-04"],
        fold=["train", "val", "test"],
        link=[f"https://shop/{i}.jpg" for i in range(count)],
        extra=['{"a": {"b": 1}}', "[[1]]"],
        details=['{"Fabric": "Wool", "Fit": "Slim"}', '{"Fabric": "Silk"}', "{}"],
        shop=["one"],
        gap=[None],
    )
    assert found == Schema(
        attributes=(
            Attribute("metal", "categorical", ("metal",)),
            Attribute("signed", "categorical", ("signed",)),
            Attribute("carat", "continuous", ("carat",), log=True),
            Attribute("year", "continuous", ("year",)),
            Attribute("stones", "set", ("stones",), separator="|"),
            Attribute("details", "set", ("details",), separator="json"),
        ),
        images=Images(("photo",), ";"),
        target=Target("priceEUR", "EUR"),
        group=Group(("title",), photo_hash=True),
        time="listed_date",
        split="fold",
        id="sku",
        ignored=(
            ("old_price", "another price, which would give the target away"),
            ("bids", "seems to be known only after the sale"),
            ("sold_date", "another time"),
            ("link", "web addresses: photos must lie in a folder"),
            ("extra", "JSON: give each entry a column of its own"),
            ("shop", "always 'one'"),
            ("gap", "empty"),
        ),
    )


def test_the_currency_may_stand_in_the_cells():
    prices = [f"£{i}.00" for i in range(1, 30)]
    assert infer(price=prices).target == Target("price", "GBP")
    assert infer(price=["1", "2"]).target == Target("price", "")
    assert infer(price=["£1", "$2"]).target == Target("price", "")


def test_prices_with_the_fewest_other_words_are_the_target():
    numbers = ["1", "2", "3"]
    found = infer(
        shipping_price_usd=numbers, median_price_usd=numbers, last_sale_price=numbers
    )
    assert found.target == Target("median_price_usd", "USD")


def test_commas_part_sets_only_where_members_recur():
    places = ["Paris, France", "Rome, Italy", "Bari, Italy"]
    assert infer(place=places).attributes[0].kind == "categorical"
    fabrics = ["wool, silk", "silk", "wool", "linen, silk", "wool, linen", "linen"]
    assert infer(fabric=fabrics).attributes == (
        Attribute("fabric", "set", ("fabric",), separator=", "),
    )


def is_json_set(cells: list) -> bool:
    found = infer(cells=cells)
    if not found.attributes:
        assert found.ignored == (
            ("cells", "JSON: give each entry a column of its own"),
        )
        return False
    assert found.attributes == (Attribute("cells", "set", ("cells",), "json"),)
    return True


def test_json_is_a_set_where_its_members_recur():
    assert is_json_set(['["red", "blue"]', '["red"]', None])
    # 30 members, each in two cells; then one more, in one cell.
    twice = [json.dumps({"size": i // 2}) for i in range(60)]
    assert is_json_set(twice)
    assert not is_json_set([*twice, '{"size": 99}'])
    # One cell in twenty may be something else.
    assert is_json_set([*twice, "[[1]]"])
    assert not is_json_set([*twice, *(f"[[{i}]]" for i in range(4))])
    assert not is_json_set(["[1, 2]", "[1]"])
    assert not is_json_set(["[]", "{}"])
    assert not is_json_set(["{'a': 1}", "{'a': 2}"])
    assert not is_json_set(["[" * 99_999 + "]", "[NaN]"])


def test_the_number_of_json_members_is_limited(monkeypatch):
    cells = [json.dumps([f"m{i // 4}", "n"]) for i in range(80)]  # 21 members
    monkeypatch.setattr(inference, "_MOST_JSON_MEMBERS", 21)
    assert is_json_set(cells)
    monkeypatch.setattr(inference, "_MOST_JSON_MEMBERS", 20)
    assert not is_json_set(cells)


AB = ("a.jpg", "b c.PNG")


@pytest.mark.parametrize(
    ("write", "separator"),
    [
        (", ".join, ","),
        (",".join, ","),
        (" , ".join, ","),
        ("|".join, "|"),
        (" | ".join, "|"),
        ("; ".join, ";"),
        (lambda names: " ".join(name.replace(" ", "_") for name in names), " "),
        (lambda names: "\n".join(name.replace(" ", "_") for name in names), " "),
        (json.dumps, "json"),
        (lambda names: str(list(names)), "json"),
        (lambda names: f"['{names[0]}']", "json"),  # lists of one
        (lambda names: "; ".join(names[:1]), ""),
        (lambda names: f"ring, {names[0]}", ""),  # a comma in a name parts nothing
        (lambda names: f"ring {names[0]}", ""),
        (lambda names: f"{names[0]}.avif", ""),
        (lambda names: f"{names[0]}.heic", ""),
    ],
)
def test_photos_in_one_cell(write, separator):
    """Also where most rows have one photo, and a few cells are something else."""
    several = [write((f"{i}{AB[0]}", f"{i}{AB[1]}")) for i in range(30)]
    assert infer(photo=several).images == Images(("photo",), separator)
    single = [
        write((f"{i}.jpg",) * 2) if separator == "" else f"{i}.jpg" for i in range(90)
    ]
    mixed = [*several[:8], *single, None, "see below"]
    assert infer(photo=mixed).images == Images(("photo",), separator)


def test_columns_of_photos_share_a_separator_or_are_left_out():
    found = infer(
        front=[f"{i}.jpg" for i in range(9)],
        more=[f"{i}.jpg,x{i}.jpg" for i in range(9)],
        named=[f"ring, {i}.jpg" for i in range(9)],
    )
    assert found.images == Images(("front", "more"), ",")
    assert found.ignored == (("named", "photos that are not parted by ','"),)


def test_the_separator_of_a_column_alone():
    cells = pd.Series(["", "a.jpg;b.jpg", "c.jpg", ""])
    assert inference.photo_separator(cells) == ";"
    assert inference.photo_separator(pd.Series(["a.jpg", ""])) == ""
    assert inference.photo_separator(pd.Series(["x", ""])) == ""


def test_numbers_in_the_form_of_names_are_no_measures():
    found = infer(seller_id=["7", "8", "9", "7"] * 3, item_id=list("abcdefghijkl"))
    assert found.attributes == (Attribute("seller_id", "categorical", ("seller_id",)),)
    assert found.id == "item_id"


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("price_text", ["20 kr or so", "40 kr or so"]),
        ("price_text", [f"about {i} dollars or so" for i in range(30)]),
        ("price_range", ["40 - 45", "45 - 50", "40 - 45"]),
        ("original_price", ["low", "high"]),
        ("Kaufpreis", ["VB", "FP"]),
        ("pricetag", ["40|45", "45|50", "50|40", "40"]),
        ("price_history", ['{"2020": "45"}', '{"2021": "45"}']),
        ("price_drop", ["yes", "no"]),
        ("price", ["40", "VB", "50", "40 - 45"]),
    ],
)
def test_what_is_named_a_price_is_no_attribute(name, cells):
    found = infer(
        **{name: cells, "price_value": [40, 45, 50], "metal": ["x", "y", "x"]}
    )
    assert [attribute.name for attribute in found.attributes] == ["metal"]
    assert found.target == Target("price_value")
    reason = dict(found.ignored)[name]
    wrong = "VB" if name == "price" else cells[0]
    assert reason.startswith("named a price, but ") and reason.endswith(
        "be read as one"
    )
    assert wrong[:30] in reason
    # One edit brings it back.
    added = (*found.attributes, Attribute(name, "categorical", (name,)))
    assert schemas.loads(schemas.dumps(dataclasses.replace(found, attributes=added)))


def test_a_price_with_words_is_the_target_beside_its_number():
    rows = {
        "price": ["20 kr", "40 kr", "1.250 kr", "9,50 kr"],
        "price_value": [1, 2, 3],
    }
    found = infer(**rows, metal=["x", "y"])
    assert found.target == Target("price", "SEK", decimal=",")
    assert dict(found.ignored).keys() == {"price_value"}


@pytest.mark.parametrize("name", ["sold", "was_sold", "bids", "sales_channel"])
def test_what_is_named_an_outcome_is_no_attribute(name):
    found = infer(**{name: ["yes", "no"], "metal": ["x", "y"]})
    assert [attribute.name for attribute in found.attributes] == ["metal"]
    assert found.ignored == ((name, "seems to be known only after the sale"),)
    assert infer(sold_by=["ann", "bob"]).attributes[0].name == "sold_by"


def test_zipcodes_and_codes_are_categories_and_years_numbers():
    found = infer(
        zipcode=["10115", "80331", "10117"],
        plz=["10115", "80331"],
        postal_code=["02139", "94103"],
        hs_code=["7113", "7117"],
        colorCode=["1", "2", "3"],
        year=[1990, 2000, 2010],
        year_built=["1871", "1990"],
    )
    kinds = {attribute.name: attribute.kind for attribute in found.attributes}
    assert [name for name, kind in kinds.items() if kind == "continuous"] == [
        "year",
        "year_built",
    ]
    assert list(kinds.values()).count("categorical") == 5
    many = infer(zipcode=[str(10000 + i) for i in range(40)], metal=["x", "y"])
    assert dict(many.ignored)["zipcode"].startswith("free text: 40 different values")


def test_a_column_of_currencies_belongs_to_the_price():
    found = infer(price=["1", "2", "3"], currency=["EUR", "USD", "EUR"], a=["x", "y"])
    assert found.target == Target("price", currency_column="currency")
    assert [attribute.name for attribute in found.attributes] == ["a"]
    told = infer(price_usd=["1", "2", "3"], currency=["EUR", "USD", "EUR"])
    assert told.target == Target("price_usd", "USD")
    assert told.attributes[0].name == "currency"
    assert infer(price=["1", "2"], currency=["EUR"]).target == Target("price")


def test_the_guess_keeps_numbers_in_doubt_and_does_not_choose():
    found = infer(km=["1.031", "2.500"], price=["1.250 €", "2.500 €"])
    assert found.attributes == (Attribute("km", "continuous", ("km",)),)
    assert found.target == Target("price", "EUR")


def test_notes_tell_what_is_amiss():
    table = from_rows([{"price": "VB", "a": "x"}, {"price": "40 - 45", "a": "y"}])
    found = inference.infer(table)
    (note,) = guess_notes.notes(table, found)
    assert note == (
        "the schema names no target; set target.column to the column of prices; column"
        " 'price' is named a price, but 'VB' can't be read as one"
    )
    fine = from_rows([{"price": 1, "a": "x"}, {"price": 2, "a": "y"}])
    assert guess_notes.notes(fine, inference.infer(fine)) == []


def test_free_text_is_left_out_with_its_count():
    found = infer(note=[f"note {'y' * i}" for i in range(30)], a=["1", "2", "3"])
    assert found.ignored == (("note", "free text: 30 different values in 30 rows"),)
    assert found.group is None


CELL = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.sampled_from(
        ["a.jpg", "1.5", "x|y", "2019-01-01", "train", "[]", '["x"]', "https://x"]
    ),
    st.text(max_size=5),
)
NAME = st.sampled_from(["price_usd", "id", "title", "split", "date", "x", "y"])


@given(st.lists(st.dictionaries(NAME, CELL, min_size=1), min_size=1, max_size=8))
def test_every_column_of_any_table_gets_exactly_one_role(rows):
    table = from_rows(rows)
    found = inference.infer(table)
    ignored = [name for name, _ in found.ignored]
    assert sorted([*found.columns(), *ignored]) == sorted(table.frame.columns)
    assert schemas.loads(schemas.dumps(found)) == found
    if found.target and not guess_notes.notes(table, found):
        frame, rejections = check_rows(table, found)
        assert len(frame) + len(rejections) == len(rows)


def test_a_sample_of_the_values_is_enough(monkeypatch):
    sizes = [f"{i}.5" for i in range(90)]
    columns = {"price": [str(i) for i in range(1, 91)], "size": sizes}
    whole = infer(**columns)
    monkeypatch.setattr(inference, "_SAMPLE", 7)
    assert infer(**columns) == whole


def real(path: str) -> Schema:
    if not (DATA / path).exists():
        pytest.skip("the real data are not here")
    return inference.infer(read_table(DATA / path))


def test_real_sales():
    found = real("ebay_antiquities/listings.csv")
    assert found.images == Images(("image",))
    assert found.target == Target("median_sale_price_usd", "USD")
    assert found.group == Group(("title",), photo_hash=True)
    assert (found.time, found.split, found.id) == ("last_sale_date", None, None)
    assert {a.name: a.kind for a in found.attributes} == {
        "object_type": "categorical",
        "object_types_all": "set",
        "is_jewellery": "categorical",
        "materials": "set",
        "cultures": "set",
        "weight_g": "continuous",
        "size_mm": "continuous",
        "image_shared": "categorical",
    }
    assert [name for name, _ in found.ignored] == ["n_sales", "last_sale_price_usd"]


def test_real_catalogue():
    found = real("fashion_products/products.csv.gz")
    assert found.images == Images(("image",))
    assert found.target == Target("price_inr", "INR")
    assert found.group == Group(("name",), photo_hash=True)
    assert (found.time, found.id) == ("catalog_added_unix", "id")
    kinds = {a.name: a.kind for a in found.attributes}
    assert kinds.pop("year") == "continuous"
    assert kinds.pop("attributes_json") == "set"
    assert set(kinds.values()) == {"categorical"} and len(kinds) == 12
    assert dict(found.ignored).keys() == {"discounted_price_inr"}


def roles_of(found: Schema) -> dict[str, str]:
    """What became of each column: a role, or why it is left out."""
    features = {a.name: a.kind for a in found.attributes}
    group = dict.fromkeys(found.group.columns if found.group else (), "group")
    return {**dict(found.ignored), **features, **group, str(found.id): "id"} | (
        {found.id: "id and group"} if found.id in group else {}
    )


COUNT = 60
NUMBERS = range(COUNT)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        # Relistings, price logs, variants, a row a photo.
        ("listing_id", [str(i // 2) for i in NUMBERS]),
        ("listing_id", [f"L-{max(i, 1)}" for i in NUMBERS]),
        ("id", [str(i // 20) for i in NUMBERS]),
        ("sku", [f"A{i // 3}-x" for i in NUMBERS]),
        ("asin", [f"B0{i % 40:03d}" for i in NUMBERS]),
        ("productId", [f"{i // 5}.0" for i in NUMBERS]),
        ("itemid", [str(i // 2) for i in NUMBERS]),
        ("GTIN", [str(4_000_000_000_000 + i // 2) for i in NUMBERS]),
        ("uuid", [f"{i // 2:032x}" for i in NUMBERS]),
        ("ring_id", [str(max(i, 1)) for i in NUMBERS]),  # all but one are different
    ],
)
def test_an_id_that_repeats_is_the_group_and_no_feature(name, cells):
    found = infer(**{name: cells}, metal=["gold", "silver"])
    assert roles_of(found) == {name: "id and group", "metal": "categorical"}


@pytest.mark.parametrize("name", ["id", "listing_id", "sku", "asin", "seller_id"])
def test_an_id_that_does_not_repeat_ties_nothing(name):
    found = infer(**{name: list(map(str, NUMBERS))}, metal=["gold", "silver"])
    assert roles_of(found) == {name: "id", "metal": "categorical"}


@pytest.mark.parametrize(
    "name", ["brand_id", "category_id", "seller_id", "sellerID", "userid", "size_id"]
)
def test_ids_of_other_things_stay_categories(name):
    found = infer(**{name: [str(i % 20) for i in NUMBERS]}, listing_id=list("ab"))
    assert roles_of(found)[name] == "categorical"
    # As does one of the row's own that has a few values for all rows.
    products = infer(product_id=[str(i % 2) for i in range(200)])
    assert roles_of(products)["product_id"] == "categorical"


def test_of_several_ids_the_finer_one_is_taken_and_the_others_are_named():
    found = infer(
        title=[f"Ring {'x' * i}" for i in NUMBERS],
        product_id=[str(i // 6) for i in NUMBERS],
        sku=[str(i // 2) for i in NUMBERS],
        row=[str(i) for i in NUMBERS],
        id=[str(i) for i in NUMBERS],
    )
    assert found.id == "id" and found.group == Group(("title", "sku"), False)
    assert dict(found.ignored)["product_id"] == (
        "another identifier: 10 values, where 'id' has 60"
    )


def test_an_id_that_many_rows_lack_names_no_row():
    cells = [str(i) if i % 4 else None for i in NUMBERS]
    found = infer(listing_id=cells, metal=["gold", "silver"])
    assert found.id is None and found.group is None
    assert dict(found.ignored)["listing_id"] == (
        "an identifier that 15 rows do not have"
    )
