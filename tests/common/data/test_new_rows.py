"""Rows to predict: read in order, with an error where one can't be used."""

import numpy as np
import pandas as pd
import pytest

from common.data import ingest
from common.errors import UserError
from common.tables.table import from_rows


class TestReadRows:
    def read(self, market, table=None, **options):
        return ingest.read_rows(
            table or market.folder / "table.csv",
            market.photos,
            market.schema,
            **options,
        )

    def test_every_row_comes_back_in_order(self, market):
        path = market.write(
            9,
            {
                (1, "photo"): "none.jpg",
                (3, "carat"): "heavy",
                (4, "price"): "",
                (5, "photo"): "",
            },
        )
        lines = path.read_text().splitlines()
        lines[7] += ",one,more"
        path.write_text("\n".join(lines) + "\n")
        rows = self.read(market)
        assert list(rows.frame["line"]) == list(range(2, 11))
        errors = list(rows.frame["error"])
        assert errors[1] == "photo: photo 'none.jpg': no such file"
        assert errors[3].startswith("carat: ")
        assert errors[5] == "photo: no photo named"
        assert "8 fields" in errors[6]
        np.testing.assert_array_equal(rows.usable, [0, 2, 4, 7, 8])
        known = [0, 1, 2, 3, 4, 5, 7, 8]
        assert list(rows.frame["id"][known]) == [f"n{i}" for i in known]
        assert pd.isna(rows.frame["id"][6])
        assert rows.frame["carat"].dtype == np.float64
        assert np.isnan(rows.frame["carat"][3])
        for i in rows.usable:
            assert rows.source[i] == {"row": i, "images": [market.jpeg(i)]}
        rows.source.close()

    def test_targets_may_be_missing_and_rows_come_from_python(self, market):
        market.write(3)
        given = [
            {"id": 7, "photo": "1.jpg", "kind": "a", "carat": 1.5},
            {"id": 8, "photo": "2.jpg", "kind": None, "carat": None},
        ]
        rows = self.read(market, from_rows(given))
        np.testing.assert_array_equal(rows.usable, [0, 1])
        assert rows.source[1]["images"] == [market.jpeg(2)]

    def test_blank_goes_on_and_raise_stops(self, market):
        market.write(3, {(1, "photo"): "none.jpg"})
        rows = self.read(market, bad_image="blank")
        np.testing.assert_array_equal(rows.usable, [0, 1, 2])
        assert rows.source[1]["images"] == []
        with pytest.raises(UserError, match="line 3, column photo"):
            self.read(market, bad_image="raise")

    def test_rows_without_any_that_can_be_read(self, market):
        market.write(2, {(0, "photo"): "a.jpg", (1, "photo"): "b.jpg"})
        rows = self.read(market)
        assert len(rows.usable) == 0
        assert list(rows.frame["id"]) == ["n0", "n1"]


def test_a_file_that_lacks_an_attribute_is_refused_unless_allowed(market, capsys):
    table = market.write(3)
    table.write_text(table.read_text().replace("carat", "carats"))
    wanted = r"no column 'carat' \(did you mean 'carats'.*\(--allow_missing_columns\)"
    with pytest.raises(UserError, match=wanted):
        ingest.read_rows(table, market.photos, market.schema)
    new = ingest.read_rows(
        table, market.photos, market.schema, allow_missing_columns=True
    )
    new.source.close()
    assert new.frame["carat"].isna().all() and (new.frame["error"] == "").all()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: ") and "no 'carat' (did you mean 'carats'?)" in line


def test_rows_in_python_that_lack_an_attribute_are_one_warning(market):
    market.write(3)
    rows = [{"id": i, "photo": f"{i}.jpg", "kinds": "a", "carat": 1} for i in range(3)]
    with pytest.warns(UserWarning, match="no 'kind' .did you mean 'kinds'") as warned:
        new = ingest.read_rows(from_rows(rows), market.photos, market.schema)
    new.source.close()
    assert len(warned) == 1
    assert new.frame["kind"].isna().all() and (new.frame["error"] == "").all()
    # In one record alone it is a missing value.
    rows = [{**row, "kind": "a"} for row in rows[:2]] + rows[2:]
    rows = [{k: v for k, v in row.items() if k != "kinds"} for row in rows]
    new = ingest.read_rows(from_rows(rows), market.photos, market.schema)
    new.source.close()
    assert new.frame["kind"].isna().tolist() == [False, False, True]
