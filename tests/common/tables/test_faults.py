import csv

import numpy as np
import pytest

from common.errors import UserError
from common.tables import faults, table
from common.tables.faults import Faults, Rejection

BROKEN = Rejection("a.csv", 3, "", "broken quoting")


def make_faults(*ids):
    """Of a table whose row k stands in line 2 + 2k; line 3 could not be read."""
    rows = table.from_rows([{"id": cell, "n": "1"} for cell in ids], "a.csv")
    line = 2 + 2 * np.arange(len(ids))
    return Faults(table.Table("a.csv", rows.frame, line, [BROKEN]))


def test_the_first_fault_of_a_row_is_kept_in_the_order_of_the_file():
    found = make_faults("x", "y", "z")
    found.note("n", [2], ["late"])
    found.note("id", np.array([0, 2]), "early")
    assert found.good.tolist() == [False, True, False]
    first, last = (
        Rejection("a.csv", 2, "id", "early"),
        Rejection("a.csv", 6, "n", "late"),
    )
    assert found.noted() == [first, last]
    assert found.rejections() == [first, BROKEN, last]


def test_ids_that_are_none():
    found = make_faults("x", "", "y" * 257, "a\0b", "z" * 256)
    found.note_ids("id")
    assert [(r.line, r.column) for r in found.noted()] == [
        (4, "id"),
        (6, "id"),
        (8, "id"),
    ]
    empty, long, nul = (rejection.reason for rejection in found.noted())
    assert "empty" in empty and "256 characters" in long and "NUL" in nul


@pytest.mark.parametrize(
    ("accepted", "fraction", "words"),
    [
        (
            0,
            1.0,
            "1 of 1 rows can't be used, none is left; the first is line 3: broken",
        ),
        (9, 0.09, "1 of 10 rows can't be used, more than max_rejected_fraction=0.09"),
        (9, 0.1, ""),
    ],
)
def test_too_many_rejected_rows_are_refused(accepted, fraction, words):
    faults.check_rejected([], accepted, 0.0)
    if not words:
        faults.check_rejected([BROKEN], accepted, fraction)
        return
    with pytest.raises(UserError) as caught:
        faults.check_rejected([BROKEN], accepted, fraction, "list.csv")
    text = str(caught.value)
    assert text.startswith(f"a.csv: {words}")
    assert text.endswith("; all are listed in list.csv")


def test_rows_left_out_by_choice_do_not_count():
    chosen = Rejection("a.csv", 4, "currency", f"{faults.BY_CHOICE}in USD, not EUR")
    faults.check_rejected([chosen] * 9, 1, 0.0)
    with pytest.raises(UserError, match="1 of 2 rows can't be used"):
        faults.check_rejected([*[chosen] * 9, BROKEN], 1, 0.09)
    with pytest.raises(UserError, match="none is left; .* left out: in USD, not EUR"):
        faults.check_rejected([chosen] * 9, 0, 1.0)


def test_the_list_of_rejected_rows_is_a_csv(tmp_path):
    path = tmp_path / "rejected.csv"
    rejected = [Rejection("a,b.csv", 3, "price", "'\"x' is not a number")]
    faults.write_rejected(path, rejected)
    with open(path, newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["file", "line", "column", "reason"],
            ["a,b.csv", "3", "price", "'\"x' is not a number"],
        ]
    assert faults.read_rejected(path) == rejected
    with pytest.raises(UserError, match="none/rejected.csv: can't be written"):
        faults.write_rejected(tmp_path / "none" / "rejected.csv", rejected)
