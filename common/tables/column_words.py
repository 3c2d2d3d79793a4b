"""Words in the names of columns, in lower case, and what they say."""

import re

from common.tables.prices import CODES

PRICE_WORDS = {"price", "prices", "preis", "prix", "precio", "prezzo", "prijs", "cena"}
COMPOUND = re.compile(r"price|preis")  # pricetext, Kaufpreis
OUTCOME_WORDS = {"sold", "sales", "bid", "bids", "bidders", "verkauft"}
CURRENCY_WORDS = {"currency", "currencies", "waehrung", "valuta", "devise", "moneda"}
CODE_WORDS = {"zip", "zipcode", "postal", "postcode", "plz", "pincode", "code", "codes"}
TYPICAL_WORDS = {"median", "mean", "average", "avg"}
TIME_WORDS = {
    "date",
    "time",
    "datetime",
    "timestamp",
    "unix",
    "epoch",
    "created",
    "sold",
}
TITLE_WORDS = {"title", "name", "headline"}
ID_WORDS = {"id", "sku", "uuid", "guid", "asin", "gtin", "ean", "upc", "isbn"}
# Beside one of these words an id is that of the row or the listing itself, and not that
# of its brand or seller.
LISTING_WORDS = frozenset(
    ("ad", "article", "auction", "entry", "item", "listing", "lot", "object", "offer")
    + ("parent", "post", "product", "record", "row", "sale", "stock", "uniq", "unique")
    + ("unit", "variant")
)
OTHERS_WORDS = {
    "brand",
    "buyer",
    "category",
    "customer",
    "seller",
    "shop",
    "store",
    "user",
}
SPLIT_WORDS = {"split", "fold", "subset", "partition"}
CURRENCIES_WORDS = {
    **{code.lower(): code for code in CODES - {"TRY"}},  # a word, too
    **dict.fromkeys(("dollar", "dollars"), "USD"),
    **dict.fromkeys(("euro", "euros"), "EUR"),
    **dict.fromkeys(("rupee", "rupees"), "INR"),
    "yen": "JPY",
    "yuan": "CNY",
}
