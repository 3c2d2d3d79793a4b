"""The tables: rows, baselines, the published figures, claims."""

import numpy as np
import pytest

from common.config import configs
from forecast import report
from forecast.config import Config
from forecast.evaluation import NETWORK, REPORTED, WINDOWS
from forecast.paper import tables
from forecast.verbs import reproduce
from tests.integration.test_forecast_resume import SETTINGS

ROWS = tables.choose_rows(["gru_maf", "ets"])


def metrics_of(crps, published=None):
    prefixes = ["test/", *(f"test/{name}/" for name in REPORTED)]
    found = {"test/broken_paths": 0}
    for number, prefix in enumerate(prefixes):
        found |= {prefix + name: crps + number for name in tables.COLUMNS}
    if published:
        found["test/published/crps_sum"] = published
    return found


def test_baselines_stand_beside_the_rows_the_best_first():
    results = {"gru_maf": [metrics_of(2.0), metrics_of(3.0)], "ets": []}
    found = reproduce.result_rows(ROWS, results)
    assert [row["forecast"] for row in found][:2] == ["GRU MAF", "gaussian walk"]
    assert found[0]["CRPS"] == "2.5000 ± 0.5000"
    assert found[1]["CRPS"] == "3.5000 ± 0.5000"
    assert len(found) == 1 + len(REPORTED)
    (alone,) = reproduce.result_rows(ROWS, {"ets": [{"test/crps": 1.0}]})
    assert alone["CRPS"] == "1.0000"  # no network brought baselines


def test_sets_without_a_file_say_so():
    results = {"gru_maf": [metrics_of(2.0, 0.25)]}
    found = {
        row["set"]: row for row in reproduce.published_rows("exchange", ROWS, results)
    }
    assert found["exchange"]["GRU MAF"] == "0.2500 (0.005)"
    assert found["solar"]["GRU MAF"] == "no data (0.315)"
    assert len(found) == 6 and all("ets" not in row for row in found.values())


def test_published_figures_are_those_of_the_slides():
    assert tables.published("exchange", "transformer_maf") == 0.005
    assert tables.published("taxi", "gp") == 0.183
    assert tables.published("wikipedia", "vec_lstm") == 0.133
    assert tables.published("exchange", "deepar") is None


def test_claims_are_paired_over_windows_as_a_share_of_the_baseline(tmp_path):
    windows = np.array([1.0, 2.0, 3.0, 4.0])
    for seed, gain in enumerate((0.2, 0.4)):
        folder = tmp_path / "runs" / "gru_maf" / f"seed{seed}"
        folder.mkdir(parents=True)
        columns = {f"{NETWORK}/{m}": windows * (1 - gain) for m in ("crps", "crps_sum")}
        for name in REPORTED:
            columns |= {f"{name}/{m}": windows for m in ("crps", "crps_sum")}
        np.savez(folder / WINDOWS, **columns)
    verdicts = reproduce.judge(tmp_path, ROWS, {"gru_maf": [{}, {}]})
    assert len(verdicts) == 2 * len(REPORTED)
    # 30 % of each window; the mean window is 1.
    assert verdicts[0].difference == pytest.approx(0.3)
    assert (
        verdicts[0].held and verdicts[0].claim == "GRU MAF beats gaussian walk (crps)"
    )


def test_a_joint_density_is_held_against_an_independent_one(tmp_path):
    names = {"gru_maf": 0.5, "gru_maf_independent": 1.0}
    for name, size in names.items():
        folder = tmp_path / "runs" / name / "seed0"
        folder.mkdir(parents=True)
        metrics = ("crps", "crps_sum", "variogram", "energy")
        columns = {f"{NETWORK}/{m}": np.full(4, size) for m in metrics}
        columns |= {f"{name}/{m}": np.ones(4) for name in REPORTED for m in metrics}
        np.savez(folder / WINDOWS, **columns)
    verdicts = reproduce.judge(tmp_path, tables.ROWS, {name: [{}] for name in names})
    joint = verdicts[-3:]
    assert joint[0].claim == "GRU MAF beats GRU MAF, independent (variogram)"
    assert [verdict.difference for verdict in joint] == [pytest.approx(0.5)] * 3
    assert all(verdict.held for verdict in joint)


def test_a_table_is_written_and_not_run_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(report, "write", lambda *_: None)
    changes = {
        "train.steps": 2,
        "train.eval_every": 2,
        "reproduce.seeds": 1,
        "reproduce.rows": ("vec_lstm",),
    }
    config = configs.replace(Config(), {**SETTINGS, **changes})
    names = reproduce.reproduce(config, tmp_path, print)
    assert names == ["results", "correlation", "claims"]
    assert "vec_lstm, seed 0" in capsys.readouterr().out
    text = (tmp_path / "tables" / "results.md").read_text()
    assert "Vec-LSTM ind-scaling" in text and "seasonal naive" in text
    assert "| truth |" in (tmp_path / "tables" / "correlation.md").read_text()
    reproduce.reproduce(config, tmp_path, print)
    assert "seed 0" not in capsys.readouterr().out


def test_rivals_with_rows_of_their_own_have_claims_too(tmp_path):
    for name, size in {"gru_maf": 0.5, "ets": 2.0}.items():
        folder = tmp_path / "runs" / name / "seed0"
        folder.mkdir(parents=True)
        scores = ("crps", "crps_sum")
        columns = {f"{NETWORK}/{m}": np.full(4, size) for m in scores}
        if name == "gru_maf":
            columns |= {f"{b}/{m}": np.ones(4) for b in REPORTED for m in scores}
        np.savez(folder / WINDOWS, **columns)
    found = reproduce.judge(tmp_path, tables.ROWS, {"gru_maf": [{}], "ets": [{}]})
    (crps,) = (v for v in found if v.claim == "GRU MAF beats ets (crps)")
    assert crps.difference == pytest.approx(0.75) and crps.held
    assert len(found) == 2 * (len(REPORTED) + 1)  # ets itself claims nothing
