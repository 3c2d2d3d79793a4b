import pytest

from common.tables import inference
from common.tables import schema as schemas
from common.tables.schema import Attribute
from common.tables.table import from_rows

GOODS = (
    "gold ring with ruby",
    "silver brooch, signed",
    "перстень с камнем",
    "真珠の指輪",
)


def rows(**extra):
    return [
        {
            "price": 10 + i,
            "metal": ("gold", "tin")[i % 2],
            "title": f"Fine {GOODS[i % 4]} {'x' * i}",
            **{name: make(i) for name, make in extra.items()},
        }
        for i in range(60)
    ]


def guess(**extra):
    return inference.infer(from_rows(rows(**extra)), texts=True)


def texts(schema):
    return [a.name for a in schema.attributes if a.kind == "text"]


def test_titles_and_descriptions_are_texts():
    found = guess(note=lambda i: f"A nice {'o' * i}ld thing")
    assert texts(found) == ["title", "note"]
    assert Attribute("title", "text", ("title",)) in found.attributes
    assert found.group.columns == ("title",) and not found.ignored
    assert schemas.loads(schemas.dumps(found)) == found


@pytest.mark.parametrize(
    "make",
    [
        lambda i: f"Nice ring, {10 + i} dollars",
        lambda i: (
            f"Nice ring for ${10 + i}.00" if i % 8 == 0 else f"Nice {'r' * i}ing set"
        ),
        lambda i: f"真珠の指輪 {10 + i}円",
    ],
)
def test_a_text_that_tells_the_price_is_none(make):
    found = guess(note=make)
    assert texts(found) == ["title"]
    assert dict(found.ignored)["note"].startswith("text that tells the price: ")


def test_numbers_that_are_prices_by_chance_do_not_count():
    def sizes(i):  # 40 % of the rows hold their own price, as many that of the next
        return "Nice ring, sizes " + " ".join(
            f"{10 + (7 * i + k) % 60}" for k in range(20)
        )

    assert texts(guess(note=sizes)) == ["title", "note"]


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("note", lambda i: f"note {'y' * i}", "free text: 60 different"),
        ("zipcode", lambda i: str(10000 + i), "free text: 60 different"),
        ("price_note", lambda i: f"a good price {'y' * i}", "named a price, but"),
        ("bids", lambda i: f"went very well {'y' * i}", "seems to be known only"),
    ],
)
def test_others_stay_what_they_were(name, make, reason):
    found = guess(**{name: make})
    assert texts(found) == ["title"]
    assert dict(found.ignored)[name].startswith(reason)


def test_without_texts_the_guess_is_as_it_was_and_a_system_may_leave_them_out():
    table = from_rows(rows(note=lambda i: f"A nice {'o' * i}ld thing"))
    plain = inference.infer(table)
    assert texts(plain) == []
    assert plain.ignored == (("note", "free text: 60 different values in 60 rows"),)
    found = inference.infer(table, texts=True)
    left, columns = schemas.leave_out_texts(found)
    assert columns == ["title", "note"]
    assert left.attributes == plain.attributes and left.group == plain.group
    assert left.ignored == (("note", schemas.NOT_READ),)
    assert "note" not in left.input_columns() and "title" in left.columns()
    assert schemas.leave_out_texts(left) == (left, [])
