"""What is said of the data before the first step."""

import dataclasses

import pandas as pd

from common.tables import schema as schemas
from ican.run import prepare


def test_columns_of_photos_that_stay_unused_are_told(shop, tmp_path, capsys):
    table = pd.read_csv(shop.folder / "table.csv", dtype=str)
    table["back"] = table["photo"]
    table.to_csv(tmp_path / "table.csv", index=False)
    schema = schemas.load(shop.folder / "schema.json")
    images = schemas.Images(("photo", "back"))
    schemas.save(dataclasses.replace(schema, images=images), tmp_path / "schema.json")
    files = {
        "data__path": str(tmp_path / "table.csv"),
        "data__schema": str(tmp_path / "schema.json"),
        "data__cache": str(tmp_path / "cache"),
    }
    line = "1 of 2 photo columns unused; --photos.count=2 uses them\n"
    for changes, said in (
        ({}, True),
        ({"photos__count": 2}, False),
        ({"model__kind": "attributes"}, False),
    ):
        prepare(shop.config(**files, **changes), tmp_path)
        assert (line in capsys.readouterr().err) == said
