"""A backtest: windows at the end of a panel that are forecast and scored."""

from __future__ import annotations

import dataclasses

import numpy as np

from common.errors import UserError
from forecast.panel.panel import Panel


@dataclasses.dataclass(frozen=True, eq=False)
class Backtest:
    """W windows of a panel.

    Attributes:
      panel: with T rows.
      train_rows: models train on that many first rows.
      starts: [W], first row of each window, which is its horizon; the rows before it
        are its history.
      horizon: H rows.
    """

    panel: Panel
    train_rows: int
    starts: tuple[int, ...]
    horizon: int

    def __post_init__(self):
        inside = [
            self.train_rows <= start <= len(self.panel.values) - self.horizon
            for start in self.starts
        ]
        if not (inside and all(inside) and self.train_rows > 0 and self.horizon > 0):
            raise ValueError("windows that do not lie between training and the end")

    @property
    def targets(self) -> np.ndarray:
        """What is to be forecast, float64 [W, H, D]; NaN where not observed."""
        rows = np.array(self.starts)[:, None] + np.arange(self.horizon)[None, :]
        return self.panel.values[rows].astype(np.float64)

    @property
    def train(self) -> Panel:
        """The rows to train on."""
        return self.panel.prefix(self.train_rows)

    def history(self, window: int) -> Panel:
        """All rows before a window."""
        return self.panel.prefix(self.starts[window])


def make_backtest(panel: Panel, horizon: int, windows: int) -> Backtest:
    """Windows at the end of a panel, one after another; training has what is before.

    Args:
      panel: with T rows.
      horizon: H rows of a window.
      windows: W.

    Raises:
      UserError: less than two rows are left to train on.
    """
    rows = len(panel.values)
    first = rows - windows * horizon
    if first < 2:
        raise UserError(
            f"{windows} windows of {horizon} steps leave {max(first, 0)} of {rows} rows"
            " to train on: choose fewer windows or a shorter horizon"
        )
    return Backtest(panel, first, tuple(range(first, rows, horizon)), horizon)
