"""`--mode=schema`: what the columns of a table are, as flags to read, edit and use."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pandas as pd

from common.cli.app import Command
from common.config import configs
from common.errors import UserError
from common.tables.cells import quoted
from common.tables.faults import Faults
from common.tables.table import Table
from forecast.config import Config
from forecast.panel.columns import find_columns, open_series
from forecast.panel.configs import DataConfig
from forecast.panel.table_files import read_column, read_panel
from forecast.panel.time_cells import read_moments


def run(config: Config, command: Command) -> None:
    """Infers the columns of --data.path; writes or prints them as a flag file."""
    text = "\n".join(infer(config))
    if command.output is None:
        command.show(text)
        return
    command.output.write_text(f"{text}\n", encoding="utf-8")
    command.show(
        f"schema: {command.output}; read it, edit it, then --flagfile={command.output}"
    )


def infer(config: Config) -> list[str]:
    """Lines of a flag file: the flags given, and those that a table shows.

    Of a long table, a text that never changes within a series is static, and a level of
    the hierarchy too where two or more series share each group. A column of numbers is
    known ahead where it goes on behind the last values, else known for the past. Comments
    say what is not read, and what keeps the table from being read as it is.

    Raises:
      UserError: it is no table, or its columns can't be told apart.
    """
    table = open_series(pathlib.Path(config.data.path), config.data)
    options = find_columns(table, config.data)
    notes: list[str] = []
    if options.id:
        options, notes = _find_roles(table, options)
    about = f"{table.path}: {'long' if options.id else 'wide'}"
    try:
        reading = read_panel(table, options, check=False)
    except UserError as error:
        notes.append(f"to be mended: {error}")
    else:
        panel = reading.panel
        options = dataclasses.replace(options, frequency=panel.frequency)
        rows, series = panel.values.shape
        first, last = (str(time.date()) for time in panel.times[[0, -1]])
        about += f", {series:,} series of {rows:,} steps, {first} to {last}"
        if reading.rejected:
            notes.append(f"rejected rows: {len(reading.rejected):,}; see --mode=check")
    found = dataclasses.replace(config, data=options)
    changed = configs.differences(Config(), found)
    lines = [
        line for line in configs.flag_lines(found) if line[2:].split("=")[0] in changed
    ]
    return [f"# {about}", *lines, *(f"# {note}" for note in notes)]


def _find_roles(table: Table, options: DataConfig) -> tuple[DataConfig, list[str]]:
    """The options with the other columns of a long table, and notes on those unread."""
    roles = {
        name: list(getattr(options, name))
        for name in ("known", "past", "static", "hierarchy")
    }
    named = {options.id, options.time, options.target}.union(*roles.values())
    by_series = table.frame.groupby(options.id, sort=False)
    ahead, notes = _are_ahead(table, options), []
    for column in table.frame.columns.difference(list(named), sort=False):
        levels, faults = table.frame[column].nunique(), Faults(table)
        numbers = read_column(faults, column)
        if by_series[column].nunique().max() > 1:
            if not faults.good.all():
                notes.append(
                    f"not read: {quoted(column)}, texts that change in a series"
                )
            else:
                known = np.isfinite(numbers[ahead]).any()
                roles["known" if known else "past"].append(column)
        elif 1 < levels < by_series.ngroups:
            roles["static"].append(column)
            if 2 * levels <= by_series.ngroups:
                roles["hierarchy"].append(column)
        else:
            notes.append(f"not read: {quoted(column)}, one for all series or for each")
    found: dict[str, Any] = {name: tuple(columns) for name, columns in roles.items()}
    return dataclasses.replace(options, **found), notes


def _are_ahead(table: Table, options: DataConfig) -> np.ndarray:
    """Rows without a value behind the last one of their series, bool [N]."""
    moments = read_moments(table.frame[options.time])
    order = pd.Series(moments.utc if moments.steps is None else moments.steps)
    valued = table.frame[options.target].notna().to_numpy(bool)
    last = order.where(valued).groupby(table.frame[options.id].to_numpy())
    return ~valued & ~(order <= last.transform("max")).to_numpy(bool)
