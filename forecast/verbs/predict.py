"""Forecasts of what comes after a table: the Python door of forecast.

model = forecast.load("runs/demand")
table = model.predict("sales.csv")
paths = model.sample("sales.csv")  # [S, H, D], for questions of one's own
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from common.cli import verbs
from common.cli.app import Command
from common.errors import UserError
from common.parallel import processes
from common.parallel.execution import make_execution
from common.tables import table as tables
from common.tables.cells import quoted
from common.training import workdirs
from forecast import evaluation, saved_model
from forecast.config import Config
from forecast.model import FORMS
from forecast.panel.panel import Panel
from forecast.panel.table_files import Reading, read_panel
from forecast.run import put_grid
from forecast.step import Learner, State

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


class Model:
    """A trained model that forecasts.

    Args:
      workdir: of a finished training run.
      config: of that run where it shall differ; None as trained.

    Attributes:
      config: of the run.
      trained: parameters and what it knows of the data.
    """

    def __init__(self, workdir: str | pathlib.Path, config: Config | None = None):
        workdir = pathlib.Path(workdir)
        self.config = config or workdirs.load_config(workdir, Config, "forecast")
        processes.start(self.config.parallel)
        self.trained = saved_model.load(workdir, self.config)
        self._shared = FORMS[self.config.model.name].shared
        self._execution = make_execution(self.config.parallel)

    def predict(self, rows: str | pathlib.Path | pd.DataFrame) -> pd.DataFrame:
        """Forecasts the steps after the end of a table.

        Args:
          rows: path of a table, or a DataFrame, with the columns of training.

        Returns:
          A row a (series, step): unique_id, ds, mean, q0.05 … q0.95 and error; and one
          for each series that could not be read, with the reason.

        Raises:
          UserError: what can't be read at all, or lacks series that the network needs.
        """
        reading, panel = self.read(rows)
        return self._table(panel, self.sample_after(panel), reading)

    def sample(self, rows: str | pathlib.Path | pd.DataFrame) -> np.ndarray:
        """Sample paths [S, H, D] of the steps after the end of a table."""
        return self.sample_after(self.read(rows)[1])

    def sample_after(self, panel: Panel) -> np.ndarray:
        """Sample paths [S, H, D] of the steps after the end of a panel.

        Args:
          panel: as `read` and `arrange` give it.
        """
        learner = Learner(self.config, self.trained.sizes, self._execution.devices)
        numbers = _number_of(panel.ids, self.trained.ids)
        grid = put_grid(learner, panel, self._execution, numbers)
        state = State(**self.trained.variables, optimizer=())
        paths = evaluation.sample(
            learner,
            self._execution,
            grid,
            self._execution.replicate(state),
            np.array([len(panel.values)], np.int32),
        )
        return evaluation.mend(paths)[0][0]

    def read(self, rows: Any) -> tuple[Reading, Panel]:
        """What a table gave, and its panel as the network takes it."""
        frame = isinstance(rows, pd.DataFrame)
        given = tables.from_rows(rows) if frame else pathlib.Path(rows)
        trained = self.trained
        options = dataclasses.replace(
            self.config.data,
            known=trained.known_names,
            past=trained.past_names,
            static=trained.category_names if self._shared else (),
        )
        reading = read_panel(given, options, check=False)
        return reading, self.arrange(reading.panel)

    def arrange(self, panel: Panel) -> Panel:
        """The panel with the series of training in their order.

        A network that is shared takes any series: those it does not know have no vector
        of their own.
        """
        trained = self.trained
        if panel.frequency != trained.frequency:
            raise UserError(
                f"the table has steps of {panel.frequency}, training had"
                f" {trained.frequency}"
            )
        if self._shared:
            levels = zip(panel.category_levels, trained.category_levels, strict=True)
            categories = panel.categories.copy()
            for number, (given, known) in enumerate(levels):
                translated = _number_of(given, known)
                categories[:, number] = translated[categories[:, number]]
            panel = dataclasses.replace(panel, categories=categories)
            # Those of training first and in its order, whatever that of the table.
            order = np.argsort(_number_of(panel.ids, trained.ids), kind="stable")
            return panel.select(order)
        for names, has, what in (
            (trained.ids, panel.ids, "the table lacks series that the network needs"),
            (panel.ids, trained.ids, "the network was not trained on series"),
        ):
            if others := sorted(set(names) - set(has)):
                listed = ", ".join(map(quoted, others[:5]))
                more = f" and {len(others) - 5} more" if len(others) > 5 else ""
                raise UserError(f"{what}: {listed}{more}")
        return panel.select(panel.find(trained.ids))

    def _table(self, panel: Panel, paths: np.ndarray, reading: Reading) -> pd.DataFrame:
        horizon = paths.shape[1]
        columns: dict[str, Any] = {
            "unique_id": np.repeat(panel.ids, horizon),
            "ds": np.tile(panel.times_ahead(horizon), len(panel.ids)),
            "mean": paths.mean(0).T.ravel(),
        }
        for q in QUANTILES:
            columns[f"q{q:g}"] = np.quantile(paths, q, axis=0).T.ravel()
        table = pd.DataFrame({**columns, "error": ""})
        if not reading.unread:
            return table
        errors = {
            "unique_id": list(reading.unread),
            "error": list(reading.unread.values()),
        }
        return pd.concat([table, pd.DataFrame(errors)], ignore_index=True)


def _number_of(names: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """Numbers int [n] of names among the known ones; how many these are, of others."""
    numbers = {name: number for number, name in enumerate(known)}
    return np.array([numbers.get(name, len(known)) for name in names], np.int64)


def run(config: Config, command: Command) -> None:
    """`--mode=predict`."""
    output = verbs.table_output(command)
    table = Model(command.workdir, config).predict(command.need("input"))
    verbs.write_table(table, output)
    failed = table.loc[table["error"] != "", ["unique_id", "error"]]
    for name, error in failed.itertuples(index=False):
        command.say(f"series {name}: {error}")
    count = table["unique_id"].nunique() - len(failed)
    command.show(f"{count:,} series forecast, {len(failed):,} left out: {output}")
