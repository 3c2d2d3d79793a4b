"""Click rates that are known, told from logs that are drawn."""

import pathlib

import numpy as np
import pandas as pd
import pytest

from experiments import evaluate_open_bandit as program

REAL = pathlib.Path("../shared/data/open_bandit_fashion")
RATES = np.array([0.02, 0.1, 0.3])  # of a click, by item
SHARES = {"random": np.full(3, 1 / 3), "bts": np.array([0.2, 0.2, 0.6])}


def draw(policy, rng, rows):
    items = rng.choice(3, size=rows, p=SHARES[policy])
    return pd.DataFrame(
        {
            "item_id": items,
            "position": rng.integers(1, 4, rows),
            "click": (rng.random(rows) < RATES[items]).astype(int),
            "propensity_score": SHARES[policy][items],
        }
    )


def test_chances_are_the_shares_of_items_at_each_place():
    target = pd.DataFrame({"position": [1, 1, 1, 2], "item_id": [7, 7, 9, 9]})
    log = pd.DataFrame({"position": [1, 1, 2, 2, 3], "item_id": [7, 9, 7, 9, 7]})
    found = program.chances(log, target)
    np.testing.assert_allclose(found, [2 / 3, 1 / 3, 0, 1, 0])


def test_each_policy_is_told_from_the_log_of_the_other(tmp_path):
    rng = np.random.default_rng(0)
    for campaign in program.CAMPAIGNS:
        for policy in program.POLICIES:
            log = draw(policy, rng, 6000)
            log.to_csv(tmp_path / f"{policy}_{campaign}.csv.gz")
    rows = program.table(tmp_path)
    assert len(rows) == 4
    for row in rows:
        told, error = (float(n) / 100 for n in _numbers(row))
        truth = SHARES[row["policy"]] @ RATES
        # Both rates would be taken for the other's without weights, 10 errors off.
        assert 0.002 < error < 0.02 and abs(told - truth) < 3 * error
        assert 3000 < row["effective rows"] < 6000


def _numbers(row):
    return row["told from the other's log"].replace("%", "").split(" ± ")


def test_a_missing_file_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["program", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 2
    assert "no file random_men.csv.gz" in capsys.readouterr().err


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real logs")
def test_real_logs_agree_within_what_so_few_clicks_tell():
    for row in program.table(REAL):
        told, error = map(float, _numbers(row))
        own, own_error = map(float, row["in its own log"].replace("%", "").split(" ± "))
        assert abs(told - own) < 3 * np.hypot(error, own_error)
        assert row["effective rows"] > 500
