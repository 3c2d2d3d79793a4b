import numpy as np
import pandas as pd
import pytest

from common.reports import boosting

SETTINGS = {"learning_rate": 0.2, "num_leaves": 4, "min_data_in_leaf": 10}


def test_settings_are_drawn_within_bounds():
    rng = np.random.default_rng(1)
    drawn = pd.DataFrame([boosting.draw_settings(rng) for _ in range(200)])
    assert drawn["learning_rate"].between(10**-1.7, 10**-0.7).all()
    assert set(drawn["num_leaves"]) == {4, 8, 16, 32}
    assert drawn["feature_fraction"].between(0.05, 0.6).all()


def test_search_keeps_the_settings_with_the_lowest_loss(monkeypatch):
    drawn = iter([{"a": 2.0}, {"a": 1.0}, {"a": 3.0}])
    monkeypatch.setattr(boosting, "draw_settings", lambda rng: next(drawn))
    found = boosting.search(lambda settings: settings["a"], trials=3, seed=0)
    assert found == {"a": 1.0}


def test_boosting_learns_a_step_and_tells_its_validation_loss():
    """The label is a step of the column, between two training rows."""
    values = np.linspace(-1, 1, 400, dtype=np.float32)[:, None]
    labels = np.where(values[:, 0] > 0, 3.0, 1.0)
    rows = {"train": np.arange(0, 400, 2), "validation": np.arange(1, 400, 2)}
    booster = boosting.fit(
        values, labels, rows, {**SETTINGS, "objective": "regression"}, 0
    )
    found = booster.predict(np.array([[-0.5], [0.5]]))
    np.testing.assert_allclose(found, [1, 3], atol=0.01)
    errors = labels[rows["validation"]] - booster.predict(values[rows["validation"]])
    wanted = np.mean(errors**2)
    assert boosting.validation_loss(booster) == pytest.approx(wanted, abs=1e-6)


def test_what_was_searched_for_is_kept(tmp_path):
    found = iter([{"zone": {"num_leaves": 4}}, {}])
    for _ in range(2):
        kept = boosting.keep(tmp_path, lambda: next(found))
        assert kept == {"zone": {"num_leaves": 4}}
