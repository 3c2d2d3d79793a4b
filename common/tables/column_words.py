"""Words in the names of columns, in lower case, and what they say."""

import re

from common.tables.prices import CODES

PRICE = {"price", "prices", "preis", "prix", "precio", "prezzo", "prijs", "cena"}
COMPOUND = re.compile(r"price|preis")  # pricetext, Kaufpreis
OUTCOME = {"sold", "sales", "bid", "bids", "bidders", "verkauft"}
CURRENCY = {"currency", "currencies", "waehrung", "valuta", "devise", "moneda"}
CODE = {"zip", "zipcode", "postal", "postcode", "plz", "pincode", "code", "codes"}
TYPICAL = {"median", "mean", "average", "avg"}
TIME = {"date", "time", "datetime", "timestamp", "unix", "epoch", "created", "sold"}
TITLE = {"title", "name", "headline"}
ID = {"id", "sku", "uuid", "guid", "asin", "gtin", "ean", "upc", "isbn"}
# Beside one of these words an id is that of the row or the listing itself, and not that
# of its brand or seller.
LISTING = frozenset(
    ("ad", "article", "auction", "entry", "item", "listing", "lot", "object", "offer")
    + ("parent", "post", "product", "record", "row", "sale", "stock", "uniq", "unique")
    + ("unit", "variant")
)
# Whose ids are no listing's.
OTHER = {"brand", "buyer", "category", "customer", "seller", "shop", "store", "user"}
SPLIT = {"split", "fold", "subset", "partition"}
# The code that a word stands for.
CURRENCY_OF = {
    **{code.lower(): code for code in CODES - {"TRY"}},  # a word, too
    **dict.fromkeys(("dollar", "dollars"), "USD"),
    **dict.fromkeys(("euro", "euros"), "EUR"),
    **dict.fromkeys(("rupee", "rupees"), "INR"),
    "yen": "JPY",
    "yuan": "CNY",
}
