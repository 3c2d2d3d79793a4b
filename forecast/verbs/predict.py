"""Forecasts of what comes after a table: the Python door of forecast.

model = forecast.load("runs/demand")
table = model.predict("sales.csv")
sums = model.predict_sums("sales.csv")  # of categories and of all series
paths = model.sample("sales.csv")  # [S, H, D], for questions of one's own
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from common.cli import outputs, verbs
from common.cli.app import Command
from common.errors import UserError
from common.parallel import processes
from common.parallel.execution import make_execution
from common.tables import table as tables
from common.tables.cells import quoted
from common.training import activity, workdirs
from forecast import evaluation, saved_model
from forecast.config import Config
from forecast.data import name_some
from forecast.model import FORMS
from forecast.panel.hierarchy import sum_groups
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
        return tabulate(panel, self.sample_after(panel), reading.unread)

    def predict_sums(self, rows: str | pathlib.Path | pd.DataFrame) -> pd.DataFrame:
        """Forecasts sums of series: of groups at each level, and in total.

        They come of the same paths as those of `predict`.

        Args:
          rows: as for `predict`.

        Returns:
          A row a (group, step), the total last: level, group, series (how many there
          are in it), ds, mean, q0.05 … q0.95.

        Raises:
          UserError: as for `predict`.
        """
        _, panel = self.read(rows)
        return tabulate_sums(panel, self.sample_after(panel))

    def sample(self, rows: str | pathlib.Path | pd.DataFrame) -> np.ndarray:
        """Sample paths [S, H, D] of the steps after the end of a table."""
        return self.sample_after(self.read(rows)[1])

    def sample_after(self, panel: Panel) -> np.ndarray:
        """Sample paths [S, H, D] of the steps after the end of a panel.

        Args:
          panel: as `read` and `arrange` give it.
        """
        trained, execution = self.trained, self._execution
        learner = Learner(self.config, trained.sizes, execution.devices)
        numbers = _number_of(panel.ids, trained.ids)
        grid = put_grid(learner, panel, execution, numbers)
        state = execution.replicate(State(**trained.variables, optimizer=()))
        starts = np.array([len(panel.values)], np.int32)
        sampled = evaluation.sample(learner, execution, grid, state, starts)
        paths, broken = evaluation.mend(sampled)
        if broken:
            activity.say(
                f"warning: {broken:,} sample paths were not finite; copies of"
                " others stand for them"
            )
        return paths[0]

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
        lost = [] if self._shared else [*filter(reading.unread.get, trained.ids)]
        if lost:
            name = lost[0]
            raise UserError(
                f"the network needs series {quoted(name)}: {reading.unread[name]}"
            )
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
            if (absent := ~np.isin(names, has)).any():
                raise UserError(f"{what}: {name_some(names, absent)}")
        return panel.select(panel.find(trained.ids))


def tabulate(
    panel: Panel, paths: np.ndarray, unread: Mapping[str, str]
) -> pd.DataFrame:
    """The table of `Model.predict`.

    Args:
      panel: with D series.
      paths: [S, H, D] of the steps after it.
      unread: {id: reason} of series that could not be read.
    """
    table = _summarise(panel, paths, unique_id=panel.ids).assign(error="")
    if not unread:
        return table
    errors = pd.DataFrame(unread.items(), columns=["unique_id", "error"])
    return pd.concat([table, errors], ignore_index=True)


def tabulate_sums(panel: Panel, paths: np.ndarray) -> pd.DataFrame:
    """The table of `Model.predict_sums`; Args as for `tabulate`."""
    levels = [
        _summarise(panel, sums, level=[level] * len(names), group=names, series=counts)
        for level, (names, counts, sums) in sum_groups(paths, panel.groups).items()
    ]
    return pd.concat(levels, ignore_index=True)


def tabulate_paths(panel: Panel, paths: np.ndarray) -> pd.DataFrame:
    """A row a (series, path, step): unique_id, path from 0, ds, value; as `tabulate`."""
    count, horizon, _ = paths.shape
    times = panel.times_ahead(horizon)
    names = ["unique_id", "path", "ds"]
    rows = pd.MultiIndex.from_product([panel.ids, range(count), times], names=names)
    return pd.DataFrame({"value": paths.transpose(2, 0, 1).ravel()}, rows).reset_index()


def _summarise(panel: Panel, paths: np.ndarray, **columns: Any) -> pd.DataFrame:
    """A row a (series, step) of paths [S, H, N], whose columns [N] say what they are."""
    _, horizon, count = paths.shape
    table = {name: np.repeat(column, horizon) for name, column in columns.items()}
    table["ds"] = np.tile(panel.times_ahead(horizon), count)
    table["mean"] = paths.mean(0, dtype=np.float64).T.ravel()
    for q, values in zip(QUANTILES, np.quantile(paths, QUANTILES, axis=0), strict=True):
        table[f"q{q:g}"] = values.T.ravel()
    return pd.DataFrame(table)


def _number_of(names: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """Numbers int [n] of names among the known ones; how many these are, of others."""
    numbers = {name: number for number, name in enumerate(known)}
    return np.array([numbers.get(name, len(known)) for name in names], np.int64)


def run(config: Config, command: Command) -> None:
    """`--mode=predict`: the table of --output, and beside it sums and paths.

    Where there is a hierarchy, <stem>_sums holds the sums of its levels; with
    --predict.paths, <stem>_paths.parquet all sample paths.
    """
    output = verbs.table_output(command)
    model = Model(command.workdir, config)
    reading, panel = model.read(command.need("input"))
    if reading.note:
        command.say(reading.note)
    sums, drawn = (
        output.with_name(f"{output.stem}_{name}")
        for name in (f"sums{output.suffix}", "paths.parquet")
    )
    for path, wanted in ((sums, panel.groups), (drawn, config.predict.paths)):
        if wanted:
            outputs.check_file(path)
    paths = model.sample_after(panel)
    verbs.write_table(tabulate(panel, paths, reading.unread), output)
    for name, error in reading.unread.items():
        command.say(f"series {name}: {error}")
    failed = len(reading.unread)
    command.show(f"{len(panel.ids):,} series forecast, {failed:,} left out: {output}")
    if panel.groups:
        verbs.write_table(tabulate_sums(panel, paths), sums)
        levels = ", ".join(panel.groups)
        command.show(f"their sums, by {levels} and in total: {sums}")
    if config.predict.paths:
        verbs.write_table(tabulate_paths(panel, paths), drawn)
        command.show(f"{len(paths):,} sample paths: {drawn}")
