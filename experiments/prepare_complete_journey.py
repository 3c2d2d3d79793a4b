"""Tables of the public data set "The Complete Journey 2.0" in the form that recsys reads.

    python -m experiments.prepare_complete_journey ../shared/data/complete_journey data/cj

writes interactions.parquet (household, product, time) and items.parquet: products that
somebody bought, with department, category and type, maker, brand, package size and the
mean price paid for one. Prices are those of all transactions, as on a shelf.
"""

import pathlib
import sys

import pandas as pd

from common.cli.app import mistakes_in_one_line
from common.errors import UserError

_MAKER = "manufacturer_id"


def write(source: pathlib.Path, target: pathlib.Path) -> str:
    """Reads two tables, writes two.

    Args:
      source: folder with transactions_sample.csv.gz and products.csv.gz.
      target: folder that gets the tables.

    Returns:
      What was written, in one line.
    """
    bought = pd.read_csv(source / "transactions_sample.csv.gz")
    products = pd.read_csv(source / "products.csv.gz")
    interactions = pd.DataFrame(
        {
            "user": bought["household_id"],
            "item": bought["product_id"],
            "time": bought["transaction_timestamp"],
        }
    )
    sold = bought[(bought["quantity"] > 0) & (bought["sales_value"] > 0)]
    each = sold["sales_value"] / sold["quantity"]
    price = each.groupby(sold["product_id"]).mean().rename("price")
    items = products[products["product_id"].isin(bought["product_id"])]
    items = items.merge(price, how="left", on="product_id")
    items["product_id"] = items["product_id"].astype("int64")
    items = items.rename(columns={"product_id": "item"})
    columns = ["department", "product_category", "product_type", _MAKER, "brand"]
    items = items[["item", *columns, "package_size", "price"]]
    target.mkdir(parents=True, exist_ok=True)
    interactions.to_parquet(target / "interactions.parquet", index=False)
    items.to_parquet(target / "items.parquet", index=False)
    return f"{len(interactions):,} interactions, {len(items):,} items: {target}"


def main() -> None:
    """Reads the command line."""
    with mistakes_in_one_line():
        if len(sys.argv) != 3:
            raise UserError(
                f"give two folders: python -m {__spec__.name} SOURCE TARGET"
            )
        print(write(*map(pathlib.Path, sys.argv[1:])))


if __name__ == "__main__":
    main()
