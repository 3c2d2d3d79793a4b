import pytest

from common.tables import prices
from common.tables.table import from_rows


@pytest.mark.parametrize(
    ("text", "currency", "price"),
    [
        ("12.50", "", 12.5),
        ("$1,234.50", "USD", 1234.5),
        ("$ 3", "CAD", 3),
        ("3 USD", "USD", 3),
        ("usd3", "USD", 3),
        ("12,50 €", "EUR", 12.5),
        ("£5", "GBP", 5),
        ("40.50 USD", "USD", 40.5),
        ("US $40.50", "USD", 40.5),
        ("USD40", "USD", 40),
        ("CHF 40.-", "CHF", 40),
        ("CHF 40.–", "CHF", 40),
        ("€ 40,-", "EUR", 40),
        ("40,-- €", "EUR", 40),
        ("40:-", "SEK", 40),
        ("40 Euro", "EUR", 40),
        ("Rs. 40", "INR", 40),
        ("Rs.40", "INR", 40),
        ("40 kr", "SEK", 40),
        ("40 kr.", "DKK", 40),
        ("kr 40", "NOK", 40),
        ("40,50 zł", "PLN", 40.5),
        ("₹1,40,500", "INR", 140500),
        ("₹1,40,500.75", "INR", 140500.75),
        ("12,34,56,789", "INR", 123456789),
        ("R$ 40,50", "BRL", 40.5),
        ("A$40", "AUD", 40),
        ("C$ 40.50", "CAD", 40.5),
        ("$40 CAD", "CAD", 40),
        ("US $40.50 USD", "USD", 40.5),
        ("4k", "USD", 4000),
        ("1.2k", "USD", 1200),
        ("1,2k €", "EUR", 1200),
        ("$4.35 K", "USD", 4350),
        ("1\u202f234,50\u202f€", "EUR", 1234.5),
        ("1\u2009234 EUR", "EUR", 1234),
    ],
)
def test_parse_price_reads_signs_and_codes(text, currency, price):
    assert prices.parse_price(text, currency) == price


@pytest.mark.parametrize(
    ("text", "currency", "reason"),
    [
        ("€5", "USD", "'€5' is in €, the schema's prices are in USD"),
        ("5 GBP", "USD", "is in GBP"),
        ("$5", "", r"of no currency \(target.currency\)"),
        ("0", "USD", "not above zero"),
        ("-5", "USD", "not above zero"),
        ("$-5", "USD", "not above zero"),
        ("TBA", "USD", "'TBA' is not a number"),
        ("new item", "USD", "'new item' is not a number"),
        ("1e-400", "USD", "not above zero"),
        ("40 - 45", "EUR", "'40 - 45' is a range of prices: write one price"),
        ("40-45 €", "EUR", "is a range of prices"),
        ("€40 – €45", "EUR", "is a range of prices"),
        ("40 to 45", "USD", "is a range of prices"),
        ("10,50 bis 12", "EUR", "is a range of prices"),
        ("VB 40", "EUR", r"'VB 40' is no fixed price \(vb\): write one price"),
        ("40 VHB", "EUR", r"no fixed price \(vhb\)"),
        ("40 € VB", "EUR", r"no fixed price \(vb\)"),
        ("ab 40 €", "EUR", r"no fixed price \(ab\)"),
        ("40 obo", "USD", r"no fixed price \(obo\)"),
        ("40 kr", "EUR", "'40 kr' is in KR, the schema's prices are in EUR"),
        ("$40 CAD", "USD", "is in CAD"),
        ("$40 EUR", "USD", "'40 EUR' is not a number"),
        ("4kg", "USD", "'4kg' is not a number"),
        ("1,40,50", "INR", "is not a number"),
    ],
)
def test_parse_price_says_why_it_refuses(text, currency, reason):
    with pytest.raises(ValueError, match=reason):
        prices.parse_price(text, currency)


@pytest.mark.parametrize(
    ("text", "point", "comma"),
    [
        ("1.031 €", 1.031, 1031),
        ("1.031,- €", 1.031, 1031),
        ("€ 1,031", 1031, 1.031),
        ("1.250k", 1250, 1_250_000),
        ("40 €", 40, 40),
    ],
)
def test_the_column_decides_how_a_price_is_read(text, point, comma):
    assert prices.parse_price(text, "EUR", ".") == point
    assert prices.parse_price(text, "EUR", ",") == comma


def test_codes_of_a_column_of_currencies():
    column = from_rows([{"c": c} for c in ("EUR", "eur", "€", "US $", None, "x")])
    found = prices.codes_of(column.frame["c"]).tolist()
    assert found == ["EUR", "EUR", "EUR", "USD", "", "X"]
