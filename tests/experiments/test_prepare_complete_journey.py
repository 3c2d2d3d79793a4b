import sys

import pandas as pd
import pytest

from experiments import prepare_complete_journey

PRODUCT = "product_id,manufacturer_id,department,brand,product_category,product_type"


@pytest.fixture
def source(tmp_path):
    """Three products, of which one was never bought, and four lines of receipts."""
    products = pd.DataFrame(
        [
            (11, 7, "GROCERY", "National", "SOUP", "TOMATO", "1 LB"),
            (12, 8, "GROCERY", "Private", "SOUP", "PEA", None),
            (13, 8, "DELI", "Private", "HAM", "RAW", "2 LB"),
        ],
        columns=[*PRODUCT.split(","), "package_size"],
    )
    products.to_csv(tmp_path / "products.csv.gz", index=False)
    bought = pd.DataFrame(
        [
            (1, 11, 2, 5.0, "2017-01-01 10:00:00"),
            (2, 11, 1, 3.5, "2017-01-02 10:00:00"),
            (1, 12, 0, 4.0, "2017-01-03 10:00:00"),  # nothing sold: no price
            (1, 11, 1, 0.0, "2017-01-04 10:00:00"),  # a present: no price
        ],
        columns=[
            "household_id",
            "product_id",
            "quantity",
            "sales_value",
            "transaction_timestamp",
        ],
    )
    bought.to_csv(tmp_path / "transactions_sample.csv.gz", index=False)
    return tmp_path


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["prepare", *map(str, arguments)])
    prepare_complete_journey.main()


def test_prices_are_means_of_what_was_paid_for_one(source, monkeypatch, capsys):
    call(monkeypatch, source, source / "tables")
    items = pd.read_parquet(source / "tables" / "items.parquet").set_index("item")
    assert items.index.tolist() == [11, 12]
    assert items["price"].tolist()[0] == (5.0 / 2 + 3.5) / 2
    assert items["price"].isna().tolist() == [False, True]
    assert items.loc[11, "product_type"] == "TOMATO"
    pairs = pd.read_parquet(source / "tables" / "interactions.parquet")
    assert list(zip(pairs["user"], pairs["item"], strict=True)) == [
        (1, 11),
        (2, 11),
        (1, 12),
        (1, 11),
    ]
    assert capsys.readouterr().out.startswith("4 interactions, 2 items: ")


def test_a_mistake_is_one_line(source, monkeypatch, capsys):
    (source / "products.csv.gz").unlink()
    for arguments, message in (
        ([source, "t"], "products.csv.gz"),
        ([], "give two folders"),
    ):
        with pytest.raises(SystemExit) as ended:
            call(monkeypatch, *arguments)
        assert ended.value.code == 2
        out, err = capsys.readouterr()
        (line,) = err.splitlines()
        assert out == "" and line.startswith("error: ") and message in line
    assert not (source / "t").exists()
