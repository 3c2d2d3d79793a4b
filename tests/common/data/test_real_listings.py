"""Real tables and photos, a few hundred rows of each; skipped where absent."""

import csv
import gzip
import itertools
import pathlib
import tarfile

import numpy as np
import pytest

from common.data import images, ingest, pipeline, transforms
from common.tables import schema as schemas
from common.tables import splits

DATA = pathlib.Path(__file__).parents[4] / "shared" / "data"
SALES = DATA / "ebay_antiquities"
PRODUCTS = DATA / "fashion_products"


def first_members(path, names):
    """Reads some members by the plain way through the archive."""
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            if member.name in names:
                found[member.name] = archive.extractfile(member).read()
            if len(found) == len(names):
                return found
    raise AssertionError(names - found.keys())


@pytest.mark.skipif(not SALES.exists(), reason="real sales are not at hand")
def test_second_hand_sales(market):
    with open(SALES / "listings.csv", newline="", encoding="utf-8") as file:
        rows = list(itertools.islice(csv.reader(file), 401))
    path = market.folder / "listings.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    market.schema = schemas.Schema(
        attributes=(
            schemas.Attribute("object", "categorical", ("object_type",)),
            schemas.Attribute("weight", "continuous", ("weight_g",), log=True),
        ),
        images=schemas.Images(("image",)),
        target=schemas.Target("median_sale_price_usd", "USD"),
        group=schemas.Group(("title",)),
    )
    config = market.config(path=str(path), images=str(SALES / "images.tar.xz"))
    listings = ingest.load(config, market.said.append)
    names = [row[0] for row in rows[1:]]
    assert list(listings.frame["image"]) == names
    members = first_members(SALES / "images.tar.xz", set(names[:20]))
    for i in range(20):
        assert listings.source[i]["images"] == [members[names[i]]]
    split = listings.frame["split"].to_numpy()
    assert splits.leakage(listings.frame, listings.schema, split).either == 0

    def transform(record):
        image = images.decode(record["images"][0])
        image = transforms.resize_shorter(image, 32)
        return {"row": np.int64(record["row"]), "image": image[:32, :32]}

    with pipeline.eval_batches(
        listings.rows("train"), transform, batch_size=64
    ) as batches:
        seen = [batch["row"][batch["mask"] > 0] for batch in batches]
    np.testing.assert_array_equal(np.concatenate(seen), listings.indices("train"))


@pytest.mark.skipif(not PRODUCTS.exists(), reason="real products are not at hand")
def test_products_without_photo(market):
    source = PRODUCTS / "products.csv.gz"
    with gzip.open(source, "rt", newline="", encoding="utf-8") as file:
        rows = list(itertools.islice(csv.reader(file), 1601))
    rows = [rows[0], *rows[1201:]]  # 6 of these have no photo
    path = market.folder / "products.csv.gz"
    with gzip.open(path, "wt", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    market.schema = schemas.Schema(
        attributes=(schemas.Attribute("brand", "categorical", ("brand",)),),
        images=schemas.Images(("image",)),
        target=schemas.Target("price_inr", "INR"),
        group=schemas.Group(("name",)),
        id="id",
    )
    bare = sum(not row[1] for row in rows[1:])
    assert bare > 0
    config = market.config(
        path=str(path), images=str(PRODUCTS / "images.tar.xz"), bad_image="blank"
    )
    listings = ingest.load(config, market.said.append)
    assert (len(listings.frame), listings.rejected) == (400, 0)
    assert (listings.dropped_photos, listings.rows_without_photo) == (0, bare)
    for i, row in enumerate(rows[1:]):
        assert len(listings.source[i]["images"]) == bool(row[1])
