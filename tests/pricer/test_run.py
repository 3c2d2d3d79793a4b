"""What is said of the data before the first network."""

import dataclasses

from common.tables import schema as schemas
from common.tables.schema import Attribute
from pricer.run import open_examples


def test_photos_and_attributes_that_stay_unused_are_told(shop, tmp_path, capsys):
    table = shop.table.assign(back=shop.table["photo"], colour="red")
    table.to_csv(tmp_path / "table.csv", index=False)
    schema = schemas.load(shop.folder / "schema.json")
    colour = Attribute("colour", "categorical", ("colour",))
    schema = dataclasses.replace(
        schema,
        images=schemas.Images(("photo", "back")),
        attributes=(*schema.attributes, colour),
    )
    schemas.save(schema, tmp_path / "schema.json")
    files = {
        "data__path": str(tmp_path / "table.csv"),
        "data__schema": str(tmp_path / "schema.json"),
        "data__cache": str(tmp_path / "cache"),
    }
    open_examples(shop.config(**files))
    said = capsys.readouterr().err.splitlines()[-2:]
    assert said == [
        "1 of 2 photo columns unused; --photos.count=2 uses them",
        (
            "1 of 7 attributes unused: colour; --labels.attribute=attributes,colour"
            " uses those that are no numbers"
        ),
    ]
    every = {"photos__count": 2, "labels__attribute": ("attributes", "colour")}
    open_examples(shop.config(**files, **every))
    assert "unused" not in capsys.readouterr().err
