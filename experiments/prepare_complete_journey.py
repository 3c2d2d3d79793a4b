"""Tables of the public data set "The Complete Journey 2.0" in the form that recsys reads.

    python -m experiments.prepare_complete_journey ../shared/data/complete_journey data/cj

writes interactions.parquet (household, product, time) and items.parquet: products that
somebody bought, with department, category and type, maker, brand, package size and the
mean price paid for one. Prices are those of all transactions, as on a shelf.
"""

import pathlib
import sys

import pandas as pd

_MAKER = "manufacturer_id"


def main() -> None:
    """Reads two tables, writes two."""
    if len(sys.argv) != 3:
        sys.exit(f"usage: python -m {__spec__.name} SOURCE TARGET")
    source, target = map(pathlib.Path, sys.argv[1:])
    target.mkdir(parents=True, exist_ok=True)
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
    interactions.to_parquet(target / "interactions.parquet", index=False)
    items.to_parquet(target / "items.parquet", index=False)
    print(f"{len(interactions):,} interactions, {len(items):,} items: {target}")


if __name__ == "__main__":
    main()
