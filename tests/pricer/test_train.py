"""A table with the faults of real life goes through training as a whole."""

import csv
import dataclasses
import pathlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from common.config import configs
from common.data import prepared
from common.errors import UserError
from common.layers import resnet
from common.tables import schema as schemas
from common.tables.schema import Attribute, Images, Schema, Target
from common.training import workdirs
from pricer import data, networks, train
from pricer.config import Config
from tests.pricer.conftest import TINY

# Good rows, in order of time; row r is sold at second r + 1.
TRAIN, VALIDATION, TEST = range(23), range(23, 29), range(29, 36)
ALONE = 22  # its category and its seller stand in this one training row
HARP = 34  # its category stands in this one test row
NEW_SELLER = (29, 30)  # test rows of a seller that no training row has
BARE = (4, 31)  # rows without a photo
FLAT = (7, 32)  # rows whose photo has one colour
# Line of the file: a price that can't be used, and what is said of it.
BAD_PRICES = {
    3: ("0", "'0' is not above zero"),
    15: ("-5", "'-5' is not above zero"),
    27: ("", "an empty cell where a price must stand"),
    39: ("n/a", "'n/a' where a price must stand"),
}
LINES = len(TEST) + len(VALIDATION) + len(TRAIN) + len(BAD_PRICES)  # 40

PRICES = np.array([20, 35, 50, 80, 45, 60, 25], float)[np.arange(36) % 7] + np.arange(
    36
)
CATEGORIES = np.array(["coat", "shoe"] * 18, object)
CATEGORIES[[ALONE, HARP]] = "violin", "harp"
SELLERS = np.array(["ann", "bob", "cem"] * 12, object)
SELLERS[ALONE] = "zoe"
SELLERS[[*NEW_SELLER]] = "eve"

SCHEMA = Schema(
    attributes=(
        Attribute("category", "categorical", ("category",)),
        Attribute("seller", "categorical", ("seller",)),
    ),
    images=Images(("photo",)),
    target=Target("price"),
    time="sold_at",
    split="split",
    id="item",
)


@dataclasses.dataclass(frozen=True)
class Shop:
    """Files of a user, and a run on them."""

    config: Config
    workdir: pathlib.Path
    values: dict


def make_rows():
    """The good rows with the bad ones among them."""
    rows = [
        {
            "item": f"item {row}",
            "category": CATEGORIES[row],
            "seller": SELLERS[row],
            "price": f"{PRICES[row]:g}",
            "sold_at": str(row + 1),
            "split": "train"
            if row in TRAIN
            else "val"
            if row in VALIDATION
            else "test",
            "photo": "" if row in BARE else f"{row}.png",
        }
        for row in range(len(PRICES))
    ]
    for line, (price, _) in BAD_PRICES.items():
        rows.insert(line - 2, {**rows[0], "item": f"bad {line}", "price": price})
    return rows


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    """One stage compiles in no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(resnet.SIZES, "tiny", resnet.Sizes((1,), widths=(4,), stem=4))
        yield


@pytest.fixture(scope="module")
def faulty(small_networks, tmp_path_factory):
    """Trained on the faulty table; exactly as much is rejected as may be."""
    folder = tmp_path_factory.mktemp("faulty")
    (folder / "photos").mkdir()
    noise = np.random.default_rng(0)
    for row in range(len(PRICES)):
        photo = noise.integers(0, 256, (40, 40, 3), np.uint8)
        if row in FLAT:
            photo[:] = 200, 10, 10
        Image.fromarray(photo).save(folder / "photos" / f"{row}.png")
    pd.DataFrame(make_rows()).to_csv(folder / "table.csv", index=False)
    schemas.save(SCHEMA, folder / "schema.json")
    config = configs.replace(
        Config(),
        {
            **TINY,
            "data.path": str(folder / "table.csv"),
            "data.images": str(folder / "photos"),
            "data.schema": str(folder / "schema.json"),
            "data.cache": str(folder / "cache"),
            "data.bad_image": "blank",
            "data.max_rejected_fraction": len(BAD_PRICES) / LINES,
            "networks.cache": str(folder / "features"),
            "labels.brand": "",
            "labels.attribute": (),
            "labels.specification": (),
            "prices.trim": 0.0,
        },
    )
    workdir = folder / "run"
    return Shop(config, workdir, train.train_and_evaluate(config, workdir))


@pytest.fixture(scope="module")
def examples(faulty):
    return data.make_examples(faulty.config, data.load_listings(faulty.config))


def test_every_row_is_counted_once(faulty):
    assert LINES == 40
    values = faulty.values
    assert values["rejected"] == 4
    assert (values["train/n"], values["train/trimmed"]) == (23, 0)
    assert values["validation/n"] == 6
    assert values["test/n"] == values["test_whole/n"] == 7
    # Not the one without a photo, and not the one whose category nobody has learnt.
    assert values["network/category/n"] == 5
    assert workdirs.read_metrics(faulty.workdir)["rejected"] == 4
    logs = np.log(PRICES)
    expected = np.abs(logs[TEST] - np.median(logs[TRAIN])).mean()
    assert values["test/median_male"] == pytest.approx(expected)


def test_bad_prices_are_rejected_with_a_line_each(faulty, examples):
    path = examples.listings.directory / prepared.REJECTED_FILE
    with open(path, newline="", encoding="utf-8") as file:
        rejected = list(csv.reader(file))
    assert rejected == [
        ["file", "line", "column", "reason"],
        *(
            [faulty.config.data.path, str(line), "price", reason]
            for line, (_, reason) in BAD_PRICES.items()
        ),
    ]
    np.testing.assert_array_equal(examples.prices, PRICES)


@pytest.mark.parametrize("cache", ["the same", "a new one"])
def test_one_more_than_may_be_is_one_error(cache, faulty, tmp_path):
    changes = {"data.max_rejected_fraction": 3.9 / LINES}
    if cache == "a new one":
        changes["data.cache"] = str(tmp_path / "cache")
    config = configs.replace(faulty.config, changes)
    with pytest.raises(UserError) as caught:
        train.train_and_evaluate(config, tmp_path / "run")
    message = str(caught.value)
    assert message.startswith(
        f"{config.data.path}: 4 of 40 rows can't be used, more than"
        " max_rejected_fraction=0.0975; the first is line 3, column price: '0' is not"
        " above zero; all are listed in "
    )
    assert len(message.splitlines()) == 1
    listed = pathlib.Path(message.split("all are listed in ")[1])
    assert len(listed.read_text().splitlines()) == 1 + 4
    assert not (tmp_path / "run" / workdirs.METRICS).exists()


def test_rows_without_a_photo_are_rejected_unless_blanks_are_allowed(faulty, examples):
    assert examples.listings.rows_without_photo == 2
    config = configs.replace(
        faulty.config, {"data.bad_image": "skip", "data.max_rejected_fraction": 0.15}
    )
    listings = data.load_listings(config)
    assert (listings.rejected, listings.rows_without_photo) == (6, 0)
    text = (listings.directory / prepared.REJECTED_FILE).read_text()
    assert text.count("no photo named") == 2


def test_a_category_of_one_row_is_no_class_but_its_row_counts(examples):
    found = examples.labels["category"]
    assert found.names == ("coat", "shoe")
    np.testing.assert_array_equal(np.flatnonzero(~found.known), [ALONE, HARP])
    learnt = networks.rows_of(found, examples.listings, examples.kept)
    assert learnt["train"].tolist() == [r for r in TRAIN if r not in (ALONE, *BARE)]
    assert len(learnt["validation"]) == 6
    assert learnt["test"].tolist() == [29, 30, 32, 33, 35]
    assert examples.rows("train").tolist() == list(TRAIN)


def test_every_test_row_is_priced(faulty):
    table = pd.read_csv(faulty.workdir / train.PREDICTIONS)
    assert table["row"].tolist() == list(TEST)
    np.testing.assert_allclose(table["price"], PRICES[TEST])
    assert np.isfinite(table["suggested_price"]).all()
    assert (table["suggested_price"] > 0).all()
    assert not table["outlier"].any()


def test_only_rows_without_a_photo_have_no_features(faulty, examples):
    (path,) = pathlib.Path(faulty.config.networks.cache).glob("category-*/features.f16")
    found = np.fromfile(path, np.float16).reshape(len(PRICES), -1)
    np.testing.assert_array_equal(np.flatnonzero(~found.any(1)), BARE)
    # One colour gives the same features wherever it is.
    np.testing.assert_allclose(found[FLAT[0]], found[FLAT[1]], rtol=2e-3)


def statistics(rows):
    """Quartiles and mean of the log prices of some rows."""
    logs = np.log(PRICES[rows])
    return [*np.quantile(logs, [0.25, 0.5, 0.75]), logs.mean()]


def test_what_nobody_sold_before_falls_back_to_all_sales(examples):
    """Rows of training sold before: all of TRAIN for test rows, 22 for the last one."""
    train_rows = np.array(TRAIN)
    of_coats = [row for row in TRAIN if CATEGORIES[row] == "coat"]
    of_shoes = [row for row in TRAIN if CATEGORIES[row] == "shoe"]
    of_bob = [row for row in TRAIN if SELLERS[row] == "bob"]
    assert (len(of_coats), len(of_shoes), len(of_bob)) == (11, 11, 7)
    whole = statistics(train_rows)
    before = statistics(train_rows[:ALONE])
    coat, shoe = NEW_SELLER[1], NEW_SELLER[0]
    raw = {
        coat: [*whole, *statistics(of_coats), *whole, np.log(12), 0],
        shoe: [*whole, *statistics(of_shoes), *whole, np.log(12), 0],
        HARP: [*whole, *whole, *statistics(of_bob), 0, np.log(8)],
        ALONE: [*before, *before, *before, 0, 0],
    }
    history = examples.history
    for row, expected in raw.items():
        standard = (np.array(expected) - history.center) / history.scale
        np.testing.assert_allclose(
            examples.context.statistics[row],
            standard,
            rtol=1e-5,
            atol=1e-5,
            err_msg=str(row),
        )


def test_a_category_that_is_not_learnt_takes_the_median_of_all(faulty):
    """The harp's row is not priced as the only violin was."""
    logs = np.log(PRICES)
    sold = np.array(TRAIN)
    guess = [
        np.median(logs[sold[CATEGORIES[sold] == CATEGORIES[row]]])
        if CATEGORIES[row] in ("coat", "shoe")
        else np.median(logs[sold])
        for row in TEST
    ]
    expected = np.mean(np.abs(logs[list(TEST)] - guess))
    assert faulty.values["test/category_median_male"] == pytest.approx(expected)
