import gzip
import json
import pathlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from common.tables.faults import read_rejected
from common.tables.table import from_rows
from forecast.panel.configs import DataConfig
from forecast.panel.table_files import fill_gaps, read_panel

NAN = np.nan


def read(rows, check=True, **options):
    options = {"max_rejected_fraction": 1.0, **options}
    return read_panel(from_rows(rows), DataConfig(**options), check=check)


def long(text, **others):
    """Rows of "id day value" words parted by commas; "-" is an empty value."""
    rows = []
    for line in text.split(","):
        name, day, value = line.split()
        day = f"2020-01-{int(day):02}"
        y = None if value == "-" else float(value)
        rows.append({"unique_id": name, "ds": day, "y": y, **others})
    return rows


def faults(reading):
    return [(fault.line, fault.column) for fault in reading.rejected]


def test_a_long_table_in_any_order_with_gaps():
    reading = read(long("b 3 6,a 1 1,a 2 2,b 1 4,a 4 3,b 4 7,a 3 -"))
    panel = reading.panel
    assert reading.rejected == [] and panel.frequency == "D" and panel.ids == ("b", "a")
    expected = [[4, 1], [NAN, 2], [6, NAN], [7, 3]]
    np.testing.assert_array_equal(panel.values, expected)
    assert panel.times[0] == pd.Timestamp("2020-01-01") and panel.future == 0


@pytest.mark.parametrize(
    "names",
    [
        ("item_id", "timestamp", "target"),
        ("Article ID", "Date", "Sales"),
        ("who", "when", "what"),
    ],
)
def test_columns_are_guessed_or_named(names):
    rows = [
        {names[0]: "7.0", names[1]: f"2020-01-{day:02}", names[2]: day, "note": "x"}
        for day in range(1, 5)
    ]
    options = dict(zip(("id", "time", "target"), names, strict=True))
    panel = read(rows, **(options if names[0] == "who" else {})).panel
    assert panel.ids == ("7",)
    assert panel.values[:, 0].tolist() == [1, 2, 3, 4]


def test_a_wide_table_with_times():
    rows = [{"date": f"2020-0{m}-01", "x": m, "y2": 10 * m} for m in (3, 1, 2, 5)]
    panel = read(rows).panel
    assert (panel.frequency, panel.ids) == ("MS", ("x", "y2"))
    np.testing.assert_array_equal(panel.values[:, 1], [10, 20, 30, NAN, 50])


def test_a_wide_table_with_covariates_of_all_series():
    rows = [
        {"Tag": f"2020-01-0{d}", "a": d if d < 4 else None, "b": 2.5, "holiday": d % 2}
        for d in range(1, 6)
    ]
    for row in rows[3:]:
        row["b"] = None
    panel = read(rows, known=("holiday",)).panel
    assert panel.values.shape == (3, 2) and panel.future == 2
    np.testing.assert_array_equal(panel.known[:, 1, 0], [1, 0, 1, 0, 1])


def test_steps_that_are_counted():
    rows = [{"week_index": w, "a": w, "b": 2 * w} for w in (10, 12, 13)]
    with pytest.raises(
        UserError, match="whole numbers: say how long a step is as --data"
    ):
        read(rows)
    panel = read(rows, frequency="W", start="1998-01-28").panel
    assert panel.times[0] == pd.Timestamp("1998-02-01") and panel.frequency == "W-SUN"
    np.testing.assert_array_equal(panel.values[:, 0], [10, NAN, 12, 13])
    with pytest.raises(UserError, match=r"counts 1,000,\d+ steps for 2 rows"):
        read([{"step": 1, "a": 1}, {"step": 1_000_001, "a": 1}], frequency="D")


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("0.5,1,2\n1,2,\n\n3,4,5\n", ("1", "2", "3")),  # decimals: no header
        ("1,1,2\n1,2,3\n3,4,5\n", ("1", "2", "3")),  # no two columns have one name
        ("2,2.5e0,4\n1,2,3\n3,4,5\n", ("1", "2", "3")),
        ("2,3,4\n1,2,3\n3,4,5\n", ("1", "2", "3")),  # within what is below
        ("773869,767541\n1,2\n3,4\n", ("773869", "767541")),
        ("2,767541\n1,2\n3,4\n", ("2", "767541")),
    ],
)
def test_a_matrix_without_times(tmp_path, text, ids):
    path = tmp_path / "matrix.txt.gz"
    path.write_bytes(gzip.compress(text.encode()))
    panel = read_panel(path, DataConfig(frequency="5min")).panel
    assert panel.ids == ids and panel.times[0] == pd.Timestamp("2000-01-01")
    lines = [line.split(",") for line in text.split() if line][len(ids) < 3 :]
    expected = [[float(cell or "nan") for cell in line] for line in lines]
    np.testing.assert_array_equal(panel.values, expected)
    with pytest.raises(UserError, match="no column of times: say how long"):
        read_panel(path, DataConfig())


def test_a_broken_line_of_a_matrix_is_a_gap(tmp_path):
    path = tmp_path / "matrix.csv"
    path.write_text("0.5,1\n1,2,3\n3,x\n5,6\n")
    reading = read_panel(path, DataConfig(frequency="h", max_rejected_fraction=0.5))
    np.testing.assert_array_equal(reading.panel.values[[0, 3]], [[0.5, 1], [5, 6]])
    assert np.isnan(reading.panel.values[1:3]).all()
    assert faults(reading) == [(2, ""), (3, "2")]
    assert "has 3 fields" in reading.rejected[0].reason


def test_parquet_with_dates_and_flags(tmp_path):
    path = tmp_path / "sales.parquet"
    times = pd.date_range("2020-03-28", periods=4, freq="D", tz="Europe/Berlin")
    frame = pd.DataFrame({"item_id": [5] * 4, "timestamp": times})
    frame["target"], frame["promo"] = [1.5, NAN, 3, 4], [True, False, False, True]
    frame.to_parquet(path)
    panel = read_panel(path, DataConfig(known=("promo",))).panel
    assert panel.ids == ("5",) and panel.frequency == "D"
    # The clocks change on the second day: by the wall all days are there.
    assert panel.times[0] == pd.Timestamp("2020-03-28")
    np.testing.assert_array_equal(panel.values[:, 0], [1.5, NAN, 3, 4])
    np.testing.assert_array_equal(panel.known[:, 0, 0], [1, 0, 0, 1])


@pytest.mark.parametrize("day", ["2020-03-29", "2020-10-25"])
def test_hours_over_a_change_of_the_clocks(day):
    zone = pd.date_range(day, periods=6, freq="h", tz="Europe/Berlin")
    rows = [{"ds": t.isoformat(), "a": n} for n, t in enumerate(zone)]
    panel = read(rows).panel
    assert panel.values[:, 0].tolist() == [0, 1, 2, 3, 4, 5] and panel.frequency == "h"
    # Without a zone the doubled hour contradicts itself, the missing one is a gap.
    wall = [{"ds": t.isoformat()[:19], "a": n} for n, t in enumerate(zone)]
    reading = read(wall)
    assert not reading.panel.times.hasnans
    hours = [t.hour for t in reading.panel.times]
    assert hours == list(range(hours[-1] + 1))
    assert np.isnan(reading.panel.values[2, 0])
    assert faults(reading) == ([] if "03" in day else [(3, "ds"), (4, "ds")])


def test_quarters_of_days_over_a_change_of_the_clocks():
    days = pd.date_range("2020-10-24", periods=12, freq="6h", tz="Europe/Berlin")
    wall = pd.date_range("2020-10-24", periods=12, freq="6h")
    for times in (days, wall.tz_localize("Europe/Berlin")):
        reading = read([{"ds": t.isoformat(), "a": n} for n, t in enumerate(times)])
        assert reading.rejected == [] and reading.panel.frequency == "6h"
        assert reading.panel.values[:, 0].tolist() == list(range(12))


@pytest.mark.parametrize(
    ("change", "column", "words"),
    [
        ({"unique_id": None}, "unique_id", "an empty cell where an id"),
        ({"ds": None}, "ds", "an empty cell, no time"),
        ({"ds": "noon"}, "ds", "'noon' is no date"),
        ({"y": "many"}, "y", "'many' is not a number"),
        ({"y": "1e300"}, "y", "too large"),
        ({"y": "-1e31"}, "y", "beyond 1e+30 is too large"),
        ({"y": "inf"}, "y", "not a number"),
        ({"price": "x"}, "price", "not a number"),
        ({"visits": "x"}, "visits", "not a number"),
        ({"colour": "red"}, "colour", "differs from the first row of its series"),
        ({"shop": "south"}, "shop", "differs from the first row of its series"),
        ({"ds": "2020-01-04T00:30"}, "ds", "is not on the grid of h from 2020-01-01"),
        ({"ds": "2020-01-01T00:00"}, "ds", "says otherwise"),
    ],
)
def test_a_faulty_row_is_rejected_with_its_place(change, column, words):
    base = {"unique_id": "a", "price": 1, "visits": 2, "colour": "blue", "shop": "n"}
    rows = [{**base, "ds": f"2020-01-01T{h:02}:00", "y": h} for h in range(8)]
    rows[5] = {**rows[5], **change}
    columns = {"known": ("price",), "past": ("visits",)}
    columns |= {"static": ("colour",), "hierarchy": ("shop",)}
    reading = read(rows, **columns)
    fault = next(fault for fault in reading.rejected if fault.line == 6)
    assert fault.column == column and words in fault.reason
    both = words == "says otherwise"
    assert faults(reading) == ([(1, "ds")] if both else []) + [(6, column)]
    kept = np.isfinite(reading.panel.values[:, 0])
    assert kept.sum() == len(rows) - len(reading.rejected)


def test_equal_rows_are_one_and_contradicting_ones_none():
    rows = long("a 1 1,a 2 2,a 2 2,a 3 3,a 3 4,a 3 3,a 4 4,b 3 9,a 5 -,a 5 -")
    reading = read(rows, max_rejected_fraction=0.4)
    expected = [(3, "left out: a row above says the same")]
    expected += [
        (n, "another row of this series and time says otherwise") for n in (4, 5, 6)
    ]
    expected += [(10, "left out: a row above says the same")]
    assert [(f.line, f.reason) for f in reading.rejected] == expected
    np.testing.assert_array_equal(reading.panel.values[:, 0], [1, 2, NAN, 4])


def test_future_rows_extend_what_is_known():
    rows = [
        {"unique_id": "a", "ds": "2020-01-01", "y": 5, "price": 2.0, "promo": 1},
        {"unique_id": "a", "ds": "2020-01-02", "y": 6, "price": None, "promo": None},
        {"unique_id": "a", "ds": "2020-01-03", "y": None, "price": 3.0, "promo": 0},
        {"unique_id": "a", "ds": "2020-01-05", "y": None, "price": 4.0, "promo": 1},
        {"unique_id": "new", "ds": "2020-01-04", "y": None, "price": 9.0, "promo": 0},
    ]
    panel = read(rows, known=("price", "promo"), past=("price",)).panel
    assert panel.values.shape == (2, 2) and panel.future == 3
    np.testing.assert_array_equal(panel.known[:, 0, 0], [2, 2, 3, 3, 4])
    np.testing.assert_array_equal(panel.known[:, 0, 1], [1, 0, 0, 0, 1])
    np.testing.assert_array_equal(panel.known[:, 1, 0], [9] * 5)
    np.testing.assert_array_equal(panel.past[:, :, 0], [[2, 0], [2, 0]])
    assert np.isnan(panel.values[:, 1]).all()
    assert panel.prefix(1).future == 4


def test_static_columns_and_groups():
    rows = long("c 1 1,c 2 1,a 1 1,a 2 1,b 1 1,b 2 1")
    colours = ["red", None, None, "blue", None, None]
    rows = [
        {**row, "colour": colour, "shop": shop}
        for row, colour, shop in zip(
            rows, colours, ["s", "s", "n", "n", None, None], strict=True
        )
    ]
    panel = read(rows, static=("colour",), hierarchy=("shop", "colour")).panel
    assert panel.ids == ("c", "a", "b")
    assert panel.category_levels == (("", "blue", "red"),)
    assert panel.categories.tolist() == [[2], [1], [0]]
    assert panel.groups == {
        "shop": ("s", "n", "(none)"),
        "colour": ("red", "blue", "(none)"),
    }
    with pytest.raises(UserError, match="need a long table"):
        read([{"date": "2020-01-01", "a": 1}], static=("colour",))


def test_series_with_too_few_values_are_left_out(tmp_path):
    rows = long("a 1 1,a 2 2,a 3 3,a 4 4,b 1 1,b 2 2,b 3 3,b 4 -,c 1 7")
    reading = read(rows, min_observed=1.0, max_rejected_fraction=0.0)
    assert reading.panel.ids == ("a",)
    assert [fault.line for fault in reading.rejected] == [5, 6, 7, 8, 9]
    assert reading.unread["c"] == "left out: values at less than 100% of the steps"
    assert read(rows, min_observed=0.75).panel.ids == ("a", "b")
    with pytest.raises(UserError, match="no series has values at 90%"):
        read(long("a 1 1,a 2 2,a 3 -,a 4 4"), min_observed=0.9)


def test_too_many_rejected_rows(tmp_path):
    listed = tmp_path / "rejected.csv"
    source = from_rows(long("a 1 1,a 2 2,a 3 3,b 1 1,b 1 2"), "sales.csv")
    options = DataConfig(max_rejected_fraction=0.3)
    with pytest.raises(UserError, match=r"2 of 5 rows can't be used.*first is line 4"):
        read_panel(source, options, rejected_file=listed)
    assert [fault.line for fault in read_rejected(listed)] == [4, 5]
    reading = read_panel(source, options, check=False)
    assert reading.panel.ids == ("a",)
    assert reading.unread == {"b": "another row of this series and time says otherwise"}


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        (long("a 1 -"), {"frequency": "D"}, "no value in any row"),
        (long("a 1 1"), {}, "no frequency can be told from 1 moments"),
        ([{"ds": "x", "y": 1}], {}, "1 of 1 rows can't be used, none is left"),
        (long("a 1 1,a 2 2"), {"frequency": "fortnight"}, "frequency 'fortnight'"),
        (long("a 1 1"), {"known": ("prize",)}, "no column 'prize'"),
        ([{"sku": "a", "what": 1}], {"id": "sku"}, "which column has the time"),
        ([{"sku": "a", "ds": "2020"}], {"id": "sku"}, "which column has the target"),
        ([{"sku": "a", "ds": "2020", "worth": 1}], {}, "which column has the target"),
        ([{"ds": "2020-01-01"}], {}, "no column of values beside 'ds'"),
        (
            [*long("a 1 1,a 2 2"), {"unique_id": "a", "ds": "1900-01-01", "y": 1}],
            {},
            "rows: times run from 1900-01-01",
        ),
    ],
)
def test_what_can_not_be_read(rows, options, words):
    with pytest.raises(UserError, match=words) as error:
        read(rows, **options)
    assert "\n" not in str(error.value)


def test_mixed_frequencies_are_named():
    rows = long(",".join(f"a {d} 1" for d in range(1, 31)))
    for day in pd.date_range("2020-01-01", periods=9, freq="W-MON"):
        rows.append({"unique_id": "b", "ds": str(day.date()), "y": 1})
    with pytest.raises(UserError, match="mixed frequencies: series 'b'"):
        read(rows)
    wide = [
        {"date": f"2020-03-{d:02}", "a": 1, "b": 1 if d % 3 == 0 else None}
        for d in range(1, 31)
    ]
    with pytest.raises(UserError, match="series 'b' has values every 3 steps of D"):
        read(wide)


def test_decimal_commas(tmp_path):
    path = tmp_path / "sales.csv"
    path.write_text("ds;a;b\n2020-01-01;1,5;1\n2020-01-02;2,25;2\n")
    panel = read_panel(path, DataConfig()).panel
    np.testing.assert_array_equal(panel.values, [[1.5, 1], [2.25, 2]])


def test_gaps_of_covariates():
    values = np.array([[NAN, 2, NAN, 3, NAN], [0, NAN, 1, NAN, 1], [NAN] * 5]).T
    for ahead, first in ((True, 2), (False, 0)):
        filled = fill_gaps(values[:, None, :], ahead)
        np.testing.assert_array_equal(filled[:, 0, 0], [first, 2, 2, 3, 3])
        np.testing.assert_array_equal(filled[:, 0, 1], [0, 0, 1, 0, 1])
        np.testing.assert_array_equal(filled[:, 0, 2], 0)


CELLS = st.one_of(
    st.none(),
    st.sampled_from(
        ["a", "b", "2020-01-02", "2020-01-03T05:00+02:00", "7", "x", "-1.5"]
    ),
    st.text(max_size=4),
)


@settings(max_examples=30)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), min_size=1, max_size=8))
def test_any_table_is_a_panel_or_a_user_error(cells):
    good = long("a 1 1,a 2 2,a 3 3,b 1 1,b 3 3")
    rows = [
        dict(zip(("unique_id", "ds", "y", "price"), map(json_safe, row), strict=True))
        for row in cells
    ]
    try:
        reading = read([*good, *rows], known=("price",))
    except UserError as error:
        assert "\n" not in str(error)
        return
    panel = reading.panel
    assert np.isfinite(panel.known).all() and not panel.times.hasnans
    lines = {fault.line for fault in reading.rejected}
    assert len(lines) == len(reading.rejected)  # no row twice
    # Every accepted row with a value is one value of the panel.
    assert np.isfinite(panel.values).sum() <= len(good) + len(rows) - len(lines)
    assert {"a", "b"} <= set(panel.ids) | set(reading.unread)


def json_safe(cell):
    return None if cell is None else json.loads(json.dumps(cell))


REAL = "../shared/data/time_series/"


@pytest.mark.parametrize(
    ("name", "options", "shape", "season"),
    [
        (
            "jewelry_weekly_sales.csv",
            {"frequency": "W", "start": "1998-02-01"},
            (124, 314),
            52,
        ),
        (
            "aus_retail_monthly_turnover.csv.gz",
            {"hierarchy": ("State", "Industry"), "min_observed": 1.0},
            (441, 133),
            12,
        ),
        (
            "metr_la_speed_one_week.csv.gz",
            {"frequency": "5min", "start": "2012-03-01"},
            (2016, 207),
            288,
        ),
    ],
)
def test_real_files(name, options, shape, season):
    path = pathlib.Path(__file__).parents[3] / REAL / name
    if not path.exists():
        pytest.skip("no such file here")
    panel = read_panel(path, DataConfig(**options)).panel
    assert panel.values.shape == shape and panel.season == season
    assert np.isfinite(panel.values).all()
