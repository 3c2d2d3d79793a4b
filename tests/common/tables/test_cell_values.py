import collections
import datetime
import json
import types

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.tables.cell_values import cell_text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (float("nan"), None),
        (pd.NaT, None),
        (pd.NA, None),
        (2.0, "2"),
        (np.float32(0.1), "0.1"),
        (np.bool_(True), "true"),
        (datetime.date(2019, 1, 2), "2019-01-02"),
        ("\ud800", "?"),
        (["x", None, 2.0], "x||2"),
        (np.array(["x", "y"]), "x|y"),
        ((), ""),
        ({"Fabric": "Cotton", "Neck": "é|"}, '{"Fabric": "Cotton", "Neck": "é|"}'),
        ({"a": 2.0, "b": True, "c": None}, '{"a": "2", "b": "true", "c": null}'),
        ({"a": float("nan"), 3: "\ud800"}, '{"a": null, "3": "?"}'),
        ({"a": ("x", "y"), "b": {"c": {"z"}}}, '{"a": ["x", "y"], "b": {"c": ["z"]}}'),
        (types.MappingProxyType({"a": np.array(["x"])}), '{"a": ["x"]}'),
        (collections.OrderedDict(), "{}"),
    ],
)
def test_cell_text_by_hand(value, expected):
    assert cell_text(value, "here") == expected


def test_lists_that_could_not_be_parted_again_are_refused():
    with pytest.raises(UserError, match=r"here: a list's member holds '\|'"):
        cell_text(["x|y"], "here")


def test_values_without_end_are_refused():
    endless: dict = {}
    endless["a"] = [endless]
    deep = json.loads("[" * 500 + "]" * 500)
    for _ in range(5):
        deep = [{"a": deep}]
    for value in (endless, [endless], endless["a"]):
        with pytest.raises(UserError, match="here: a value is nested too deeply"):
            cell_text(value, "here")
