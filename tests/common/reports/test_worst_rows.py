import io
import types

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.reports import page, worst_rows
from common.tables.schema import Attribute, Schema

SCHEMA = Schema(
    attributes=(
        Attribute("metal", "categorical", ("metal",)),
        Attribute("size", "continuous", ("mm", "grams")),
        Attribute("title", "text", ("title",)),
    ),
    id="id",
)


@pytest.mark.parametrize(
    ("errors", "found"),
    [
        ([0.1, -3.0, 2.0], [1, 2, 0]),
        ([1.0, -1.0], [0, 1]),  # equals in their order
        ([], []),
        (np.arange(20.0), list(range(19, 9, -1))),
    ],
)
def test_the_worst_come_first(errors, found):
    assert worst_rows.find(np.array(errors)).tolist() == found


def encode(colour):
    file = io.BytesIO()
    Image.new("RGB", (400, 200), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(name="listings")
def some_listings():
    frame = pd.DataFrame(
        {
            "id": ["a", "b"],
            "metal": ["gold", None],
            "mm": [3.5, np.nan],
            "grams": [1450000.0, np.nan],
            "title": ["ring <b>", "x" * 500],
        }
    )
    return types.SimpleNamespace(
        frame=frame,
        schema=SCHEMA,
        source=[{"row": 0, "images": [encode("red")]}, {"row": 1, "images": []}],
        names_of=lambda rows: {"id": frame["id"].to_numpy()[rows]},
    )


def test_a_card_tells_prices_words_and_attributes(listings):
    found = worst_rows.cards(
        listings,
        np.array([1, 0]),
        np.array([10.0, 2000.0]),
        np.array([12.5, 3.0]),
        [(9.0, np.inf), (1.0, 8.0)],
    )
    bare, whole = found.cards
    assert bare.photo is None and bare.title == "10; predicted 12.5 (9 to ∞)"
    # What is not known is left out, long cells are cut.
    assert bare.text == "id b; title: " + "x" * 239 + "…"
    assert whole.title == "2,000; predicted 3 (1 to 8)"
    assert whole.text == "id a; metal: gold; size: 3.5, 1450000; title: ring <b>"
    assert whole.photo.shape == (200, 400, 3)


def test_cards_stand_in_the_page(listings):
    cards = worst_rows.cards(
        listings, np.arange(2), np.ones(2), np.ones(2), [(0.5, 2.0)] * 2
    )
    section = page.Section("worst", [cards])
    html = page.render_page("t", "l", page.Table([]), [section])
    assert html.count('class="card"') == 2
    assert html.count("data:image/jpeg;base64,") == 1
    assert "ring &lt;b&gt;" in html
