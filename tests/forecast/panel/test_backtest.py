import numpy as np
import pytest

from common.errors import UserError
from forecast.panel.backtest import Backtest, make_backtest
from forecast.panel.frequencies import make_times
from forecast.panel.panel import Panel

PANEL = Panel.of(np.arange(20).reshape(10, 2), make_times("2020-01-01", 10, "D"), "D")


def test_windows_lie_at_the_end():
    backtest = make_backtest(PANEL, 3, 2)
    assert (backtest.train_rows, backtest.starts) == (4, (4, 7))
    np.testing.assert_array_equal(backtest.targets[1, :, 0], [14, 16, 18])
    assert backtest.targets.shape == (2, 3, 2) and backtest.targets.dtype == np.float64
    assert len(backtest.train.values) == 4
    np.testing.assert_array_equal(backtest.history(1).values, PANEL.values[:7])


def test_windows_that_leave_nothing_to_train_on():
    assert make_backtest(PANEL, 4, 2).train_rows == 2
    with pytest.raises(UserError, match="5 windows of 2 steps leave 0 of 10 rows"):
        make_backtest(PANEL, 2, 5)


@pytest.mark.parametrize(
    ("train", "starts", "horizon"),
    [(5, (4,), 2), (5, (9,), 2), (5, (), 2), (0, (1,), 2)],
)
def test_windows_outside(train, starts, horizon):
    with pytest.raises(ValueError):
        Backtest(PANEL, train, starts, horizon)
