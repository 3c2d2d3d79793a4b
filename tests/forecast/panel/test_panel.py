import dataclasses

import numpy as np
import pytest

from common.errors import UserError
from forecast.panel.frequencies import make_times
from forecast.panel.panel import Panel

TIMES = make_times("2020-01-01", 5, "D")


def make(**changes) -> Panel:
    """5 days of 3 series, covariates for 2 days more; each number tells its place."""
    values = np.arange(15).reshape(5, 3)
    known = np.arange(42).reshape(7, 3, 2).astype(np.float32)
    parts = {
        "known": known,
        "known_names": ("price", "promotion"),
        "past": known[:5, :, :1],
        "past_names": ("visits",),
        "categories": np.array([[0], [1], [0]], np.int32),
        "category_names": ("colour",),
        "category_levels": (("blue", "red"),),
        "groups": {"shop": ("n", "s", "s")},
    }
    return Panel.of(values, TIMES, "D", ("a", "b", "c"), **(parts | changes))


def test_of_values_alone():
    panel = Panel.of(np.ones((5, 2)), TIMES, "D")
    assert panel.ids == ("1", "2") and panel.values.dtype == np.float32
    assert (panel.future, panel.season) == (0, 7)
    assert panel.known.shape == (5, 2, 0) and panel.categories.shape == (2, 0)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"ids": ("a", "b", "a")}, "ids"),
        ({"times": TIMES[:4]}, "times"),
        ({"known": np.zeros((4, 3, 2), np.float32)}, "known steps"),
        ({"known_names": ("price",)}, "known"),
        ({"past": np.zeros((7, 3, 1), np.float32)}, "past"),
        ({"category_levels": ()}, "levels"),
        ({"groups": {"shop": ("n", "s")}}, "groups"),
    ],
)
def test_parts_that_do_not_fit(changes, word):
    with pytest.raises(ValueError, match=word):
        dataclasses.replace(make(), **changes)


def test_a_prefix_knows_the_covariates_of_its_future():
    panel = make()
    assert panel.future == 2
    short = panel.prefix(3)
    np.testing.assert_array_equal(short.values, [[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    assert short.future == 4 and len(short.past) == len(short.times) == 3
    np.testing.assert_array_equal(short.known, panel.known)
    assert short.times_ahead(2).equals(TIMES[3:]) and not len(short.times_ahead(0))
    months = Panel.of(np.ones((1, 1)), make_times("2020-01-31", 1, "ME"), "ME")
    assert months.times_ahead(2).month.tolist() == [2, 3]
    for rows in (0, 6):
        with pytest.raises(ValueError):
            panel.prefix(rows)


def test_selected_series_keep_all_that_is_theirs():
    panel = make()
    part = panel.select(panel.find(["c", "a"]))
    assert part.ids == ("c", "a") and part.groups == {"shop": ("s", "n")}
    np.testing.assert_array_equal(part.values[:, 0], [2, 5, 8, 11, 14])
    np.testing.assert_array_equal(part.known[:, 1], panel.known[:, 0])
    np.testing.assert_array_equal(part.past[:, 0], panel.past[:, 2])
    assert part.categories.tolist() == [[0], [0]]
    assert part.category_levels == (("blue", "red"),)
    with pytest.raises(UserError, match="no series 'd'"):
        panel.find(["a", "d"])


def test_the_fingerprint_is_of_all_parts():
    same = make().fingerprint
    assert make().fingerprint == same
    panel = make()
    changes = {
        "values": panel.values + 1,
        "times": make_times("2020-01-02", 5, "D"),
        "ids": ("a", "b", "d"),
        "known": panel.known + 1,
        "past_names": ("clicks",),
        "categories": panel.categories[::-1] + 0 * panel.categories,
        "groups": {"shop": ("n", "n", "s")},
    }
    changes["categories"] = np.array([[1], [1], [0]], np.int32)
    found = {
        dataclasses.replace(panel, **{k: v}).fingerprint for k, v in changes.items()
    }
    assert len(found) == len(changes) and same not in found
