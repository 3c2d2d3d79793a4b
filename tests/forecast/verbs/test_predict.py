"""Tables of forecasts, of paths set by hand."""

import types

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from forecast.panel.panel import Panel
from forecast.verbs import predict
from tests.forecast.verbs.small import config_of

S, H, D = 20, 3, 4
PATHS = np.random.default_rng(0).gamma(2, 5, (S, H, D)).astype(np.float32)
AHEAD = pd.date_range("2024-01-11", periods=H)
QUANTILES = [f"q{q:g}" for q in predict.QUANTILES]


def make_panel(groups=True):
    return Panel.of(
        np.ones((10, D)),
        pd.date_range("2024-01-01", periods=10),
        "D",
        ("a", "b", "c", "d"),
        groups={"kind": ("x", "y", "x", "y"), "shop": ("s",) * D} if groups else {},
    )


def test_a_row_a_series_and_step():
    table = predict.tabulate(make_panel(), PATHS, {"z": "no number"})
    assert table.columns.tolist() == ["unique_id", "ds", "mean", *QUANTILES, "error"]
    assert table["unique_id"].tolist() == [*np.repeat([*"abcd"], H), "z"]
    assert table["ds"].iloc[:-1].tolist() == [*AHEAD] * D
    assert table["error"].tolist() == [""] * D * H + ["no number"]
    last = table.iloc[-2]  # of d, at the last step
    drawn = PATHS[:, -1, -1]
    assert last["mean"] == pytest.approx(drawn.mean(dtype=float))
    assert last["q0.9"] == pytest.approx(np.quantile(drawn, 0.9))


def test_sums_agree_with_series_and_their_quantiles_are_of_paths():
    panel = make_panel()
    sums = predict.tabulate_sums(panel, PATHS)
    names = ["level", "group", "series", "ds", "mean", *QUANTILES]
    assert sums.columns.tolist() == names
    first = sums.iloc[::H]
    assert first[["level", "group", "series"]].to_numpy().tolist() == [
        ["kind", "x", 2],
        ["kind", "y", 2],
        ["shop", "s", 4],
        ["total", "total", 4],
    ]
    series = predict.tabulate(panel, PATHS, {})
    kinds = series.assign(kind=np.repeat(["x", "y", "x", "y"], H))
    means = kinds.groupby(["kind", "ds"])["mean"].sum()
    found = sums[sums["level"] == "kind"].set_index(["group", "ds"])["mean"]
    np.testing.assert_allclose(found, means)
    np.testing.assert_allclose(
        sums[sums["level"] == "total"]["mean"], series.groupby("ds")["mean"].sum()
    )
    drawn = PATHS[..., [1, 3]].sum(-1)  # [S, H]
    expected = np.quantile(drawn, predict.QUANTILES, axis=0).T
    found = sums[sums["group"] == "y"][QUANTILES]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # Not what adding up quantiles would give.
    added = series.groupby("ds")["q0.95"].sum().to_numpy()
    assert (sums[sums["level"] == "total"]["q0.95"].to_numpy() < added - 1).all()


def test_paths_are_long():
    table = predict.tabulate_paths(make_panel(), PATHS)
    assert table.columns.tolist() == ["unique_id", "path", "ds", "value"]
    assert len(table) == S * H * D
    chosen = table[(table["unique_id"] == "c") & (table["path"] == 7)]
    assert chosen["value"].tolist() == PATHS[7, :, 2].tolist()
    assert chosen["ds"].tolist() == [*AHEAD]
    means = table.groupby(["unique_id", "ds"])["value"].mean()
    summary = predict.tabulate(make_panel(), PATHS, {})
    np.testing.assert_allclose(means, summary["mean"], rtol=1e-6)


@pytest.mark.parametrize("groups", [True, False])
@pytest.mark.parametrize("paths", [True, False])
def test_files_beside_the_output(tmp_path, monkeypatch, groups, paths):
    reading = types.SimpleNamespace(unread={"z": "no number"}, note="")
    model = types.SimpleNamespace(
        read=lambda rows: (reading, make_panel(groups)), sample_after=lambda _: PATHS
    )
    monkeypatch.setattr(predict, "Model", lambda *_: model)
    lines, output = [], tmp_path / "sales.csv"
    command = types.SimpleNamespace(
        workdir=None,
        output=output,
        say=lines.append,
        need=lambda name: output,
        show=lines.append,
    )
    config = config_of(**{"predict.paths": paths})
    predict.run(config, command)
    names = (
        ["sales.csv"] + ["sales_paths.parquet"] * paths + ["sales_sums.csv"] * groups
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert lines[0] == "series z: no number"
    assert lines[1] == f"4 series forecast, 1 left out: {output}"
    assert len(pd.read_csv(output)) == D * H + 1
    if paths:
        table = pd.read_parquet(tmp_path / "sales_paths.parquet")
        np.testing.assert_array_equal(table["value"].iloc[:H], PATHS[0, :, 0])
        (tmp_path / "sales_paths.parquet").unlink()
        (tmp_path / "sales_paths.parquet").mkdir()
        with pytest.raises(UserError, match="is a folder"):
            predict.run(config, command)
