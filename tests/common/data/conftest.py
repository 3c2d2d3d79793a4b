"""Small tables and photos for the tests of ingestion."""

import csv
import io
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from common.data.configs import ListingsConfig
from common.tables import schema as schemas

COLUMNS = ("id", "photo", "kind", "carat", "price", "title")

SCHEMA = schemas.Schema(
    attributes=(
        schemas.Attribute("kind", "categorical", ("kind",)),
        schemas.Attribute("carat", "continuous", ("carat",)),
    ),
    images=schemas.Images(("photo",), separator="|"),
    target=schemas.Target("price", "USD"),
    group=schemas.Group(("title",)),
    id="id",
)


def jpeg(seed):
    """A photo of its own for every seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 9, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def title(row):
    """Without digits, since groups compare titles without them."""
    return "item " + "".join("abcdefghij"[int(digit)] for digit in str(row))


class Market:
    """A folder with a table of `count` rows and one photo each.

    `cells` are {(row, column): text} that differ from the plain ones.
    """

    schema = SCHEMA
    jpeg = staticmethod(jpeg)

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.photos = folder / "photos"
        self.cache = folder / "cache"
        self.said: list[str] = []

    def write(self, count, cells=None, name="table.csv"):
        self.photos.mkdir(exist_ok=True)
        with open(self.folder / name, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for i in range(count):
                (self.photos / f"{i}.jpg").write_bytes(jpeg(i))
                plain = (f"n{i}", f"{i}.jpg", "ab"[i % 2], i / 2, 10 + i, title(i))
                row = zip(COLUMNS, plain, strict=True)
                writer.writerow([(cells or {}).get((i, c), value) for c, value in row])
        return self.folder / name

    def config(self, **options):
        schemas.save(self.schema, self.folder / "schema.json")
        plain = {
            "path": str(self.folder / "table.csv"),
            "images": str(self.photos),
            "schema": str(self.folder / "schema.json"),
            "cache": str(self.cache),
        }
        return ListingsConfig(**(plain | options))

    def facts(self, listings):
        return json.loads((listings.directory / "prepared.json").read_text())

    def rejected(self, path):
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            return [(int(r["line"]), r["column"], r["reason"]) for r in rows]


@pytest.fixture
def market(tmp_path):
    return Market(tmp_path)


@pytest.fixture(scope="session")
def new_market():
    return Market
