"""What reproducing a table is in every system: rows, several seeds, claims.

A system names its rows and claims as data, says what one run of a row is, and lays out
its tables; which runs are still to be made and what becomes of a claim is said here.
"""

import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from common.config import configs
from common.errors import UserError
from common.reports import claims, result_tables
from common.training import workdirs
from common.training.workdirs import RunRecord, Say

Runs = Sequence[Mapping[str, Any]]  # metrics of each seed
Results = Mapping[str, Runs]  # by the name of a row


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the tables of a paper.

    Attributes:
      name: short, for flags and folders: "p50".
      title: in words, as the paper has it.
      changes: knobs by dotted name.
      tables: names of the tables it stands in, where a system has several.
      paper: figures that the paper prints; () where it has none.
      rival: name of the rival that is run in place of the system's model; "" for none.
    """

    name: str
    title: str
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tables: tuple[str, ...] = ()
    paper: tuple[float, ...] = ()
    rival: str = ""

    def apply(self, config: Any, seed: int) -> Any:
        """The config of one run of this row."""
        return configs.replace(config, {**self.changes, "train.seed": seed})


def choose_rows(
    rows: Sequence[Row], names: Sequence[str], usual: Callable[[Row], bool]
) -> tuple[Row, ...]:
    """The rows of `--reproduce.rows`, in the order of the tables.

    Args:
      rows: all that a system has.
      names: asked for; () for those that are `usual`.
      usual: whether a row is run where none is named.

    Raises:
      UserError: for a name that no row has; where rivals alone are named.
    """
    known = [row.name for row in rows]
    for name in names:
        if name not in known:
            raise UserError(
                f"--reproduce.rows: there is no row {name!r}; there are"
                f" {', '.join(known)}{configs.hint(name, known)}"
            )
    chosen = tuple(row for row in rows if (row.name in names if names else usual(row)))
    if all(row.rival for row in chosen):
        raise UserError("--reproduce.rows: name a row to hold the rivals against")
    return chosen


def run_rows(
    rows: Sequence[Row],
    config: Any,
    workdir: pathlib.Path,
    *,
    system: str,
    free: Iterable[str],
    run: Callable[[Row, Any, RunRecord], Mapping[str, Any]],
    say: Say,
) -> dict[str, list[dict[str, Any]]]:
    """Runs every row with every seed.

    A run that has ended under the same settings is not run again, and one that was cut
    off goes on: the whole is started again with the same command.

    Args:
      rows: to run.
      config: of all runs; `reproduce.seeds` says how many each row has.
      workdir: gets runs/<row>/seed<k>.
      system: name of the system.
      free: knobs that may change when a run is continued.
      run: (row, config of the run, record) -> its metrics, on every process.
      say: prints a line of progress.

    Returns:
      {name of the row: metrics of each seed}; None where a figure is not finite.
    """
    results: dict[str, list[dict[str, Any]]] = {row.name: [] for row in rows}
    with workdirs.training_in(workdir):
        # Seed by seed, so that a cut-off run leaves whole pairs behind.
        for seed in range(config.reproduce.seeds):
            for row in rows:
                folder = workdir / "runs" / row.name / f"seed{seed}"
                changed = row.apply(config, seed)
                with workdirs.recording(folder, system, changed, free) as record:
                    if not record.has_ended:
                        say(f"{row.name}, seed {seed}")
                        record.finish(run(row, changed, record))
                results[row.name].append(workdirs.read_metrics(folder))
    return results


@dataclasses.dataclass(frozen=True)
class Claim:
    """Something that is said of the figures of rows.

    Attributes:
      text: what is claimed.
      better: rows that are said to be better, by name.
      worse: rows that are said to be worse; () where `bar` is to be beaten.
      metric: of both.
      of_worse: metric of `worse`, where it is another one.
      lower: whether a low figure is good.
      than_any: whether `better` is said to beat the best of `worse`, not their mean.
      bar: figure that counts in the place of `worse`.
      margin: where `better` is said not to be behind, how far its mean may lie behind;
        see `claims.verdict_on`.
    """

    text: str
    better: tuple[str, ...]
    worse: tuple[str, ...]
    metric: str
    of_worse: str = ""
    lower: bool = False
    than_any: bool = False
    bar: float = math.nan
    margin: float | None = None

    def verdict(self, results: Results) -> claims.Verdict | None:
        """What becomes of it; None where a row or its metric is not there.

        Where a claim is about several rows, each seed's figure is their mean; where it
        says that one is the best, it is the figure of the row with the best mean.
        """
        of_worse = self.of_worse or self.metric
        needed = [(name, self.metric) for name in self.better]
        needed += [(name, of_worse) for name in self.worse]
        if not all(metric in (results.get(row) or [{}])[0] for row, metric in needed):
            return None
        sign = -1.0 if self.lower else 1.0
        better = [figures_of(results[name], self.metric) for name in self.better]
        rivals = [figures_of(results[name], of_worse) for name in self.worse]
        rivals = rivals or [[self.bar] * len(better[0])]
        worse = sign * np.array(rivals)  # [rows, seeds]
        worse = worse[worse.mean(1).argmax()] if self.than_any else worse.mean(0)
        ours = sign * np.mean(better, axis=0)
        return claims.verdict_on(self.text, ours, worse, self.margin)


def verdicts(claimed: Iterable[Claim], results: Results) -> list[claims.Verdict]:
    """What becomes of every claim whose rows are all there."""
    every = (claim.verdict(results) for claim in claimed)
    return [verdict for verdict in every if verdict is not None]


def figures_of(runs: Runs, name: str) -> list[float]:
    """A metric of each seed; NaN where it is not finite."""
    return [math.nan if run[name] is None else float(run[name]) for run in runs]


def mean_cell(runs: Runs, name: str, digits: int = 3) -> str:
    """Mean over seeds with its standard error, which one seed has not.

    Returns:
      "0.412 ± 0.006" or, of one seed, "0.412"; "" where a seed has no such figure.
    """
    values = [run.get(name) for run in runs]
    if None in values:
        return ""
    return result_tables.format_mean(values, digits)  # type: ignore[arg-type]


def describe_mean(seeds: int) -> str:
    """What cells of `mean_cell` hold, for the notes under a table."""
    if seeds == 1:
        return (
            "One seed: figures have no standard error, and claims over seeds stay open"
        )
    return f"Mean ± standard error over {seeds} seeds"


def write_claims(
    folder: pathlib.Path,
    verdicts: Sequence[claims.Verdict],
    title: str,
    difference: str,
    notes: str,
) -> None:
    """Writes claims.md and claims.csv.

    Args:
      folder: for the tables.
      verdicts: of the claims.
      title: of the table.
      difference: what the differences are in: "top-3 accuracy".
      notes: on the runs behind them.
    """
    result_tables.write_table(
        claims.rows_of(verdicts),
        folder / "claims",
        title=title,
        notes=f"Differences in {difference}. Held: the paired 95 % interval over seeds"
        " lies above 0; of a claim not to be behind, the difference is at most the stated"
        f" margin below 0 and the interval not wholly below. Lost: the interval lies below 0."
        f" {notes}",
    )
