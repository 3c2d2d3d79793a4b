import dataclasses
import io
import itertools
import json

import numpy as np
import pytest
from PIL import Image

from common.config import configs
from common.data import ingest
from common.data.generated import SPLIT_START
from common.errors import UserError
from common.tables import cells
from common.tables import schema as schemas
from pricer.generated import bazaar, catalogue, latents
from pricer.generated.parameters import DEFECTS, BazaarConfig
from pricer.generated.values import expected_errors, expected_log_prices, log_prices

TINY = BazaarConfig(train_count=20, validation_count=5, test_count=7, pixels=32)
NO_DEFECTS = dict.fromkeys(DEFECTS, False)


@pytest.fixture(scope="module")
def tiny_rows():
    return list(bazaar.rows(TINY))


def test_the_schema_names_what_the_four_networks_learn():
    schema = bazaar.schema()
    kinds = {attribute.name: attribute.kind for attribute in schema.attributes}
    assert list(kinds.items()) == [
        ("class", "categorical"),
        ("category", "categorical"),
        ("brand", "categorical"),
        ("attributes", "set"),
        ("specification", "set"),
        ("seller", "categorical"),
    ]
    assert schema.target.currency == "CNY" and schema.time == "sold_at"
    assert schemas.loads(schemas.dumps(schema)) == schema
    assert not any("truth" in column for column in schema.columns())


def test_rows_come_split_by_split_with_all_columns(tiny_rows):
    splits = [row["split"] for row, _ in tiny_rows]
    assert splits == ["train"] * 20 + ["validation"] * 5 + ["test"] * 7
    names = ("readable", *DEFECTS, "log_price", "expected_error")
    extra = {f"truth_{name}" for name in names}
    for row, photos in tiny_rows:
        assert set(row) == set(bazaar.schema().columns()) | extra
        assert len(photos) == 1
        json.dumps(row)  # plain Python values
    assert len({row["item"] for row, _ in tiny_rows}) == 32


def test_the_rows_can_be_prepared(tiny_rows, tmp_path):
    listings = ingest.prepare_generated(
        "bazaar",
        tmp_path,
        bazaar.schema(),
        iter(tiny_rows),
        bazaar.fingerprint(TINY),
        say=lambda line: None,
    )
    assert len(listings.frame) == 32
    sold = listings.frame["sold_at"].to_numpy()
    assert np.all(np.isfinite(sold)) and sold[:20].max() < sold[20:].min()


def test_photos_are_the_drawings_as_jpeg(tiny_rows):
    row, (data,) = tiny_rows[22]
    image = Image.open(io.BytesIO(data))
    assert image.format == "JPEG" and image.size == (32, 32)
    drawn = bazaar.draw(TINY, int(row["item"]))
    assert np.abs(np.asarray(image).astype(float) - drawn).mean() < 5


def test_rows_are_the_same_however_many_are_made(tiny_rows):
    more = dataclasses.replace(TINY, train_count=25, test_count=3)
    found = {row["item"]: (row, photos) for row, photos in bazaar.rows(more)}
    shared = [row["item"] for row, _ in tiny_rows if row["item"] in found]
    assert len(shared) == 20 + 5 + 3
    for row, photos in tiny_rows:
        if row["item"] in found:
            assert found[row["item"]] == (row, photos)


def test_any_number_of_workers_makes_the_same_rows():
    config = dataclasses.replace(TINY, train_count=100, pixels=16)
    assert list(bazaar.rows(config, workers=2)) == list(bazaar.rows(config))


def test_rows_stream():
    """The first of a million items is there at once."""
    huge = BazaarConfig(train_count=1_000_000, pixels=32)
    assert len(list(itertools.islice(bazaar.rows(huge), 2))) == 2


def test_truth_is_found_by_number(tiny_rows):
    numbers = np.array([int(row["item"]) for row, _ in tiny_rows])
    truth = bazaar.truth(TINY, numbers)
    for name, values in truth.items():
        assert [row[f"truth_{name}"] for row, _ in tiny_rows] == values.tolist()
    prices = np.array([row["price"] for row, _ in tiny_rows])
    np.testing.assert_allclose(prices, np.exp(truth["log_price"]), atol=0.0051)
    faults = np.sum([truth[name] for name in DEFECTS], axis=0)
    np.testing.assert_array_equal(truth["readable"], faults == 0)


def test_splits_follow_one_another_in_time(tiny_rows):
    times = {"train": [], "validation": [], "test": []}
    for row, _ in tiny_rows:
        times[row["split"]].append(cells.parse_time(row["sold_at"]))
    assert max(times["train"]) < min(times["validation"])
    assert max(times["validation"]) < min(times["test"])
    days = (max(times["test"]) - min(times["train"])) / 86_400
    assert 60 < days < 92
    # And within a split in no order.
    assert times["train"] != sorted(times["train"])


@pytest.mark.parametrize("name", ["category", "brand", "attributes", "specification"])
def test_labels_are_missing_at_their_rates(name):
    items = latents.sample(BazaarConfig(), np.arange(5000))
    share = np.mean([cell is None for cell in bazaar._listing(items)[name]])
    expected = {
        "category": 0.05,
        "brand": 0.35,
        "attributes": 0.25,
        "specification": 0.4,
    }
    sigma = np.sqrt(expected[name] * (1 - expected[name]) / 5000)
    assert share == pytest.approx(expected[name], abs=4 * sigma)


def test_listings_say_what_holds():
    full = {f"{name}_missing": 0.0 for name in ("category", "brand", "attributes")}
    config = BazaarConfig(category_wrong=0.0, specification_missing=0.0, **full)
    items = latents.sample(config, np.arange(500))
    columns = bazaar._listing(items)
    for row in range(500):
        which = items.item_class[row]
        assert columns["class"][row] == catalogue.CLASSES[which]
        assert columns["category"][row] == catalogue.CATEGORY.names[items.category[row]]
        assert columns["brand"][row] == catalogue.BRANDS[items.brand[row]]
        colour, material = columns["attributes"][row].split("|")
        assert colour == catalogue.COLOUR.names[items.colour[row]]
        assert material == catalogue.MATERIALS[which][items.material[row]]
        grade, *extras = columns["specification"][row].split("|")
        assert grade == catalogue.GRADES[which][items.grade[row]]
        assert ("pack of two" in extras) == items.pack[row]
        assert ("with receipt" in extras) == items.receipt[row]
    assert set(columns["seller"]) <= {f"seller {k}" for k in range(1, 401)}


def test_prices_have_a_long_tail(capsys):
    logs = bazaar.truth(BazaarConfig(), np.arange(8000))["log_price"]
    prices = np.exp(logs)
    with capsys.disabled():
        shown = np.round(np.quantile(prices, [0.01, 0.25, 0.5, 0.75, 0.99]))
        print(f"\nbazaar: quantiles of the price {shown}")
    # The log is bell-shaped, the price itself is not (Fig. 3).
    assert 1.0 < logs.std() < 1.3
    centred = (logs - logs.mean()) / logs.std()
    assert abs(np.mean(centred**3)) < 0.4 and abs(np.mean(centred**4) - 3) < 0.5
    assert np.mean(((prices - prices.mean()) / prices.std()) ** 3) > 2


def floors(config: BazaarConfig, count: int = 20_000) -> dict[str, dict[str, float]]:
    """Errors that no model gets below, by simulation.

    Draws `count` test items and takes the expected log price given the photo, the
    category, the seller and the day (`expected_log_prices`).

    Returns:
      {"readable" | "unreadable" | "all" | "half": {"share" of the items, "male" (mean
      absolute error of log price), "rmsle" (root mean square of it)}}; "half" are the
      items that a perfect gate keeps if it has to keep half of them. NaN for no items.
    """
    items = latents.sample(config, SPLIT_START["test"] + np.arange(count))
    logs = log_prices(config, items)
    errors = np.abs(logs - expected_log_prices(config, items))
    surest = np.argsort(expected_errors(config, items), kind="stable")
    half = np.isin(np.arange(count), surest[: count // 2])
    groups = {
        "readable": items.readable,
        "unreadable": ~items.readable,
        "all": np.ones(count, bool),
        "half": half,
    }
    return {name: _scores(errors, chosen) for name, chosen in groups.items()}


def _scores(errors: np.ndarray, chosen: np.ndarray) -> dict[str, float]:
    kept = errors[chosen]
    male = float(np.mean(kept)) if len(kept) else float("nan")
    rmsle = float(np.sqrt(np.mean(kept**2))) if len(kept) else float("nan")
    return {"share": float(np.mean(chosen)), "male": male, "rmsle": rmsle}


def test_unreadable_photos_cost_more_than_double_the_squared_error(capsys):
    found = floors(BazaarConfig(), 6000)
    with capsys.disabled():
        print(f"\nbazaar: floors {found}")
    assert 0.58 < found["readable"]["share"] < 0.66
    assert 0.2 < found["readable"]["male"] < 0.3
    assert found["unreadable"]["rmsle"] ** 2 > 2.5 * found["readable"]["rmsle"] ** 2
    assert found["half"]["male"] < 0.7 * found["all"]["male"]
    shares = [
        found[name]["share"] for name in ("readable", "unreadable", "all", "half")
    ]
    np.testing.assert_allclose(shares, [shares[0], 1 - shares[0], 1, 0.5])


def test_without_defects_a_gate_has_nothing_to_find():
    found = floors(BazaarConfig(**NO_DEFECTS), 3000)
    assert found["readable"]["share"] == 1 and np.isnan(found["unreadable"]["male"])
    assert found["half"]["male"] == pytest.approx(found["all"]["male"], rel=0.05)


def test_scores_by_hand():
    scores = _scores(np.array([1.0, 3.0, 9.0]), np.array([True, True, False]))
    assert scores == {"share": 2 / 3, "male": 2.0, "rmsle": pytest.approx(np.sqrt(5))}


def test_the_fingerprint_tells_configs_and_generators_apart(monkeypatch):
    known = {bazaar.fingerprint(BazaarConfig())}
    for change in (
        {"seed": 1},
        {"pixels": 96},
        {"blur": False},
        {"brand_missing": 0.1},
    ):
        known.add(bazaar.fingerprint(BazaarConfig(**change)))
    assert bazaar.fingerprint(BazaarConfig()) in known
    monkeypatch.setattr(bazaar, "GENERATOR_VERSION", bazaar.GENERATOR_VERSION + 1)
    known.add(bazaar.fingerprint(BazaarConfig()))
    assert len(known) == 6


@pytest.mark.parametrize(
    "change",
    [{"pixels": 0}, {"train_count": 0}, {"blur_share": 1.5}, {"seller_count": 1}],
)
def test_bad_configs_are_refused(change):
    with pytest.raises(UserError, match=next(iter(change))):
        BazaarConfig(**change)


def test_every_knob_becomes_a_flag():
    names = [name for name, *_ in configs.leaves(BazaarConfig())]
    assert {*DEFECTS, "sellers", "label_effects", "drift", "pixels"} <= set(names)
