import dataclasses
import types

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.tables.schema import Attribute, Schema
from pricer.config import LabelsConfig
from pricer.inputs import labels

SCHEMA = Schema(
    (
        Attribute("category", "categorical", ("category",)),
        Attribute("brand", "categorical", ("brand",)),
        Attribute("colour", "categorical", ("colour",)),
        Attribute("attributes", "set", ("attributes",), separator="|"),
        Attribute("weight", "continuous", ("weight",)),
    )
)
FRAME = pd.DataFrame(
    {
        "category": ["shoe", "shoe", "bag", "bag", "hat", None, "shoe", "bag"],
        "brand": ["a", None, "a", "a", None, "a", "a", "b"],
        "colour": ["red", "red", "blue", None, "blue", "red", "pink", "red"],
        "attributes": ["x|y", "x", None, "y", "", "x|rare", "z|x", "y"],
        "weight": np.arange(8.0),
    }
)
TRAIN = np.arange(6)
CONFIG = LabelsConfig(specification=(), seller="", table="", min_count=2)


def make(**changes):
    listings = types.SimpleNamespace(
        frame=FRAME, schema=SCHEMA, indices=lambda split: {"train": TRAIN}[split]
    )
    return labels.make_labels(listings, dataclasses.replace(CONFIG, **changes))


def test_one_of_many_is_known_where_its_class_is_common_enough():
    found = make()["category"]
    # The hat stands there once, the sixth row has none.
    assert found.kind == "one" and found.names == ("bag", "shoe")
    np.testing.assert_array_equal(found.known, [1, 1, 1, 1, 0, 0, 1, 1])
    np.testing.assert_array_equal(found.target[found.known], [1, 1, 0, 0, 1, 0])
    assert found.outputs == 2 and found.target.dtype == np.int32


def test_a_task_with_one_class_is_left_out():
    # Brand b stands in a test row alone.
    assert "brand" not in make()
    assert set(make()) == {"category", "attribute"}


def test_sets_are_known_where_a_cell_is_filled():
    found = make()["attribute"]
    assert found.kind == "several" and found.names == ("x", "y")
    np.testing.assert_array_equal(found.usable, [1, 1, 0, 1, 0, 1, 1, 1])
    np.testing.assert_array_equal(
        found.target, [[1, 1], [1, 0], [0, 0], [0, 1], [0, 0], [1, 0], [1, 0], [0, 1]]
    )


def test_several_attributes_are_joined_and_known_each_for_itself():
    found = make(attribute=("attributes", "colour"))["attribute"]
    assert found.names == (
        "attributes: x",
        "attributes: y",
        "colour: red",
        "colour: blue",
    )
    # A row without a set but with a colour; one with a set but without a colour.
    np.testing.assert_array_equal(found.known[2], [0, 0, 1, 1])
    np.testing.assert_array_equal(found.target[2], [0, 0, 0, 1])
    np.testing.assert_array_equal(found.known[3], [1, 1, 0, 0])
    # A colour that training did not show is known to be none of the others.
    np.testing.assert_array_equal(found.known[6], [1, 1, 1, 1])
    np.testing.assert_array_equal(found.target[6], [1, 0, 0, 0])


def test_names_that_are_not_there_are_refused():
    with pytest.raises(UserError, match=r"--labels.brand=brnd.*did you mean 'brand'"):
        make(brand="brnd")
    with pytest.raises(UserError, match="continuous"):
        make(attribute=("weight",))
    with pytest.raises(UserError, match="no task has two classes"):
        make(min_count=7)


def test_cells_of_a_key_are_texts_or_none():
    listings = types.SimpleNamespace(frame=FRAME, schema=SCHEMA)
    found = labels.texts(listings, "brand", "brand")
    assert found.tolist() == ["a", None, "a", "a", None, "a", "a", "b"]
    assert labels.texts(listings, "", "seller") is None
    with pytest.raises(UserError, match="must be a categorical attribute"):
        labels.texts(listings, "attributes", "seller")


def test_the_price_is_standardised_by_the_training_rows():
    found = labels.price_labels(np.array([1.0, 3.0, 8.0]), np.array([0, 1]))
    np.testing.assert_allclose(found.target, [-1, 1, 6])
    assert found.outputs == 1 and found.usable.all()


def test_attributes_that_no_label_names_are_told():
    def unused(**changes):
        return labels.describe_unused(SCHEMA, dataclasses.replace(CONFIG, **changes))

    assert unused(attribute=("attribtes",)) == (
        "3 of 5 attributes unused: colour, attributes, weight;"
        " --labels.attribute=colour,attributes uses those that are no numbers"
    )
    assert unused(attribute=("attributes",), table="colour") == (
        "1 of 5 attributes unused: weight; pricer reads no numbers"
    )
    assert unused(attribute=("weight", "attributes"), seller="colour") == ""
