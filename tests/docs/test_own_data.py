"""What docs/own-data says of modes and columns is what the programs have.

Columns of ican, pricer and rerank are compared where their models are at hand, in
`tests/<system>/`.
"""

import dataclasses
import importlib
import re

import numpy as np
import pandas as pd
import pytest

from common.reports.claims import Verdict, rows_of
from common.tables.faults import Rejection
from forecast.panel.panel import Panel
from forecast.verbs import predict
from recsys.verbs.predict import COLUMNS
from tests.docs.pages import OWN_DATA, columns_of, read_table

PROGRAMS = {
    **{name: name for name in ("ican", "pricer", "recsys", "rerank", "forecast")},
    "backbone": "common.backbone",
}
REJECTED = [field.name for field in dataclasses.fields(Rejection)]
CLAIMS = [*rows_of([Verdict("ours is better", 0.1, 0.0, 0.2, True)])[0]]


def test_every_mode_stands_where_it_is_and_nowhere_else():
    header, *rows = read_table("README.md", "Which mode is where")
    assert header[2:] == [*PROGRAMS]
    told = {
        program: {row[0].strip("`") for row in rows if row[column]}
        for column, program in enumerate(PROGRAMS, start=2)
    }
    assert told == {
        program: {*importlib.import_module(f"{package}.main").MODES}
        for program, package in PROGRAMS.items()
    }


@pytest.mark.parametrize(
    ("system", "mode", "file", "columns"),
    [
        ("all", "all that read data", "rejected.csv", REJECTED),
        ("ican, pricer", "train, check", "dropped_photos.csv", REJECTED),
        ("recsys", "predict, export", "left_out_items.csv", REJECTED),
        ("recsys", "predict", "--output", [*COLUMNS]),
        ("all", "reproduce", "tables/claims.csv", CLAIMS),
    ],
)
def test_columns_are_those_that_are_written(system, mode, file, columns):
    assert columns_of(system, mode, file) == columns


def test_columns_of_forecasts_sums_and_paths_are_those_that_are_written():
    times = pd.date_range("2024-01-01", periods=3)
    groups = {"kind": ("x", "x")}
    panel = Panel.of(np.ones((3, 2)), times, "D", ("a", "b"), groups=groups)
    paths = np.ones((2, 1, 2), np.float32)
    for file, table in (
        ("--output", predict.tabulate(panel, paths, {})),
        ("<output>_sums", predict.tabulate_sums(panel, paths)),
        ("<output>_paths.parquet", predict.tabulate_paths(panel, paths)),
    ):
        assert columns_of("forecast", "predict", file) == [*table], file


def test_links_lead_to_files_and_headings():
    root = OWN_DATA.parents[1]
    broken = []
    for page in (root / "README.md", *OWN_DATA.glob("*.md")):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" in target:
                continue
            name, _, anchor = target.partition("#")
            path = page.parent / name if name else page
            if not path.exists() or (anchor and anchor not in _anchors(path)):
                broken.append(f"{page.relative_to(root)}: {target}")
    assert not broken


def _anchors(page):
    """Of the headings of a page, as they are made from them where it is shown."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h).lower().replace(" ", "-") for h in headings}
