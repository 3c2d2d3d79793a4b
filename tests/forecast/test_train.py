"""A run from start to report, and what is done with it afterwards."""

import json
import types

import numpy as np
import pandas as pd
import pytest

from common.config import configs
from common.errors import UserError
from forecast import data, evaluation, saved_model, train
from forecast.config import Config
from forecast.evaluation import mend
from forecast.generated import demand
from forecast.generated.parameters import DemandConfig
from forecast.panel.backtest import make_backtest
from forecast.run import prepare
from forecast.step import State
from forecast.verbs import evaluate
from forecast.verbs.predict import Model
from tests.integration.test_forecast_resume import SETTINGS

TIMES = pd.date_range("2024-01-01", periods=60)


def table_of(series=("a", "b", "c"), rows=60):
    rng = np.random.default_rng(0)
    return pd.concat(
        [
            pd.DataFrame(
                {"unique_id": name, "ds": TIMES[:rows], "y": rng.poisson(9, rows)}
            ).assign(kind="x" if name < "c" else "y")
            for name in series
        ]
    )


def config_of(path, **changes):
    settings = {
        **SETTINGS,
        "data.path": str(path),
        "data.hierarchy": ("kind",),
        "train.steps": 3,
        "train.eval_every": 3,
    }
    return configs.replace(Config(), {**settings, **changes})


@pytest.fixture(scope="module", params=["gru_maf", "deepar"])
def trained(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    table_of().to_csv(folder / "sales.csv", index=False)
    config = config_of(folder / "sales.csv", **{"model.name": request.param})
    values = train.train_and_evaluate(config, folder / "run")
    return folder / "run", values, Model(folder / "run")


def test_a_run_scores_network_and_baselines(trained):
    workdir, values, _ = trained
    assert json.loads((workdir / "metrics.json").read_text()) == values
    assert 0 < values["test/crps"] < 10 and values["test/broken_paths"] == 0
    assert 0 < values["test/seasonal_naive/crps"] < 1
    page = (workdir / "report.html").read_text()
    assert "seasonal naive" in page and "Is the spread honest?" in page
    with np.load(workdir / "windows_test.npz") as windows:
        assert windows["network/crps"].mean() == pytest.approx(values["test/crps"])
        assert len(windows["network/crps"]) == 2


def test_forecasts_follow_the_end_of_a_table(trained):
    model = trained[2]
    found = model.predict(table_of())
    assert len(found) == 3 * 4 and (found["error"] == "").all()
    assert found["ds"].iloc[:4].tolist() == list(pd.date_range("2024-03-01", periods=4))
    quantiles = found[[c for c in found if c.startswith("q")]].to_numpy()
    assert (np.diff(quantiles, axis=1) >= 0).all() and (quantiles >= 0).all()
    paths = model.sample(table_of())
    np.testing.assert_allclose(paths.mean(0).T.ravel(), found["mean"])
    sums = model.predict_sums(table_of()).set_index(["level", "group"])["mean"]
    a, b, c = found["mean"].to_numpy().reshape(3, 4)
    for name, expected in (
        (("kind", "x"), a + b),
        (("kind", "y"), c),
        (("total", "total"), a + b + c),
    ):
        np.testing.assert_allclose(sums[name], expected)
    # The order of the series in a table does not matter.
    turned = model.predict(table_of().iloc[::-1])
    by_name = turned.set_index(["unique_id", "ds"])["mean"]
    expected = found.set_index(["unique_id", "ds"])["mean"]
    np.testing.assert_allclose(by_name.reindex(expected.index), expected)


def test_a_split_is_evaluated_afterwards(trained):
    workdir, values, model = trained
    config = model.config
    split = "test" if config.model.name == "gru_maf" else "validation"
    shown = []
    command = types.SimpleNamespace(
        workdir=workdir, split=split, say=print, show=shown.append
    )
    evaluate.run(config, command)
    found = json.loads((workdir / f"metrics_{split}.json").read_text())
    if split == "test":
        assert found == values
    assert {name.split("/")[0] for name in found} == {split}
    assert 0 < found[f"{split}/crps"] < 10 and "| kind | " in shown[1]


def test_series_that_the_network_does_not_know(trained):
    model = trained[2]
    if model.config.model.name == "deepar":
        found = model.predict(table_of(("a", "d")))
        assert found["unique_id"].tolist() == ["a"] * 4 + ["d"] * 4
        assert np.isfinite(found["mean"]).all()
    else:
        for series, message in (
            (("a", "b"), "lacks series that the network needs: 'c'"),
            (("a", "b", "c", "d"), "was not trained on series: 'd'"),
        ):
            with pytest.raises(UserError, match=message):
                model.predict(table_of(series))
    with pytest.raises(UserError, match="steps of W-SUN, training had D"):
        weekly = table_of().assign(ds=lambda t: t["ds"].repeat(1))
        weekly["ds"] = np.tile(pd.date_range("2024-01-07", periods=60, freq="W"), 3)
        model.predict(weekly)


def test_a_damaged_model_is_told(trained, tmp_path):
    workdir, _, model = trained
    config = model.config
    for name in (saved_model.FILE, "config.json"):
        (tmp_path / name).write_bytes((workdir / name).read_bytes())
    np.savez(tmp_path / saved_model.PARAMS, **{"params/x": np.zeros(3)})
    with pytest.raises(UserError, match="does not hold the parameters of this model"):
        saved_model.load(tmp_path, config)


def test_too_short_a_table_is_told(tmp_path):
    table_of(rows=12).to_csv(tmp_path / "sales.csv", index=False)
    with pytest.raises(UserError, match="steps are too few"):
        train.train_and_evaluate(config_of(tmp_path / "sales.csv"), tmp_path / "run")


def test_paths_that_are_not_finite_are_replaced_and_counted():
    paths = np.arange(12.0).reshape(1, 3, 2, 2)
    broken = paths.copy()
    broken[0, 1, 1, 0] = np.inf
    found, count = mend(broken)
    assert count == 1
    np.testing.assert_array_equal(found[0], paths[0, [0, 0, 2]])
    with pytest.raises(FloatingPointError):
        mend(np.full((1, 3, 2, 2), np.nan))


def test_forecasts_tell_of_paths_that_were_not_finite(trained, monkeypatch, capsys):
    paths = np.ones((1, 5, 4, 3))
    paths[0, 2, 0, 0] = np.nan
    monkeypatch.setattr(evaluation, "sample", lambda *_: paths)
    found = Model(trained[0]).predict(table_of())
    assert (found["mean"] == 1).all()
    assert "warning: 1 sample paths were not finite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "set_to", "expected"),
    [(400, 0, 20), (68, 0, 12), (22, 0, 4), (400, 7, 7)],
)
def test_rows_that_choose_the_step(rows, set_to, expected):
    panel = demand.make_panel(DemandConfig(series=2, days=rows))
    backtest = make_backtest(panel, horizon=4, windows=2)
    config = configs.replace(Config(), {"backtest.validation": set_to})
    assert data.validation_rows(config, backtest) == expected


@pytest.mark.parametrize("trained", ["deepar"], indirect=True)
def test_refitted_networks_learn_from_all_rows_before_their_window(
    trained, tmp_path, monkeypatch
):
    """The first one from those of the run, so that its paths are those of the run."""
    workdir, _, model = trained
    run = prepare(model.config, data.load(model.config))
    lines, learned, train_one = [], [], train.train

    def watched(run, *others):
        learned.append(run.starts["train"].max())
        return train_one(run, *others)

    monkeypatch.setattr(train, "train", watched)
    refitted = train.sample_refitted(run, "test", tmp_path, lines.append)
    first, second = run.backtest.starts
    assert f"window 2 of 2: trained on {second} steps" in lines
    saved = saved_model.load(workdir, model.config)
    state = run.execution.replicate(State(**saved.variables, optimizer=()))
    parts = (run.learner, run.execution, run.grid, state)
    plain = evaluation.sample(*parts, np.array([first, second], np.int32))
    np.testing.assert_allclose(refitted[0], plain[0], rtol=1e-5)
    assert learned[0] == run.starts["train"].max()
    # As many rows as the windows are apart, but for those that validation has of them.
    assert learned[0] < learned[1] <= learned[0] + second - first
