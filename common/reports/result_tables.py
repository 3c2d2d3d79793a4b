"""Tables of results: a list of rows, each a dict, as Markdown and as CSV."""

import csv
import io
import math
import numbers
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.errors import UserError

ResultRow = Mapping[str, Any]


def format_number(value: Any, digits: int = 3) -> str:
    """Writes a value for people: 0.4127 as 0.413, 19176 as 19,176, None as –.

    Args:
      value: a number, a bool, a text or None.
      digits: digits after the point of a number below 100; larger ones get fewer,
        tiny ones are written 1.2e-05 and huge ones 2.5e+15.
    """
    if value is None:
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    if not isinstance(value, numbers.Real):
        return str(value)
    number = float(value)
    size = abs(number)
    if math.isnan(number):
        return "n/a"
    if math.isinf(number):
        return "∞" if number > 0 else "-∞"
    if size >= 1e15 or 0 < size < 0.5 * 10**-digits:
        return f"{number:.1e}"
    if size >= 100:
        digits = max(0, digits + 1 - len(str(int(size))))
    return f"{number:,.{digits}f}"


def format_price(value: float) -> str:
    """Writes a price for people: 0.01, 42.5, 949,000, 1,450,000; in full above 100."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return np.format_float_positional(value, 3, fractional=False, trim="-")


def format_plain(value: float) -> str:
    """Writes six digits, and all of those before the point: 0.01, 1450000, not 1e+06."""
    text = f"{value:.6g}"
    if "e" not in text:
        return text
    if abs(value) >= 1:
        return f"{value:.0f}"
    return np.format_float_positional(float(text), trim="-")


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean of independent runs and its standard error, s / sqrt(n) with s over n - 1.

    Returns:
      (mean, standard error); the error of one value is NaN.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        return math.nan, math.nan
    if array.size == 1:
        return float(array[0]), math.nan
    return float(array.mean()), float(array.std(ddof=1) / math.sqrt(array.size))


def format_mean(values: Sequence[float], digits: int = 3) -> str:
    """Writes the mean over runs with its standard error: "0.412 ± 0.006"."""
    mean, error = mean_and_error(values)
    if math.isnan(error):
        return format_number(mean, digits)
    # Beside its error a mean below the last digit is 0, and no power of ten.
    small = abs(mean) < 10**-digits
    written = f"{mean:.{digits}f}" if small else format_number(mean, digits)
    return f"{written} ± {error:.{digits}f}"


def check_rows(names: Sequence[str], known: Sequence[str]) -> None:
    """Checks the names of `--reproduce.rows`.

    Raises:
      UserError: for one that no row has.
    """
    for name in names:
        if name not in known:
            raise UserError(
                f"--reproduce.rows: there is no row {name!r}; there are"
                f" {', '.join(known)}"
            )


def columns_of(
    rows: Sequence[ResultRow], columns: Sequence[str] | None = None
) -> list[str]:
    """The columns of a table: those named, else all in order of first appearance."""
    if columns is not None:
        return list(columns)
    return list(dict.fromkeys(key for row in rows for key in row))


def numeric_columns(rows: Sequence[ResultRow], columns: Sequence[str]) -> set[str]:
    """Columns that hold numbers alone, to be set flush right."""
    numeric = set()
    for column in columns:
        values = [row[column] for row in rows if row.get(column) is not None]
        if values and all(
            isinstance(value, numbers.Real) or _starts_as_number(value)
            for value in values
        ):
            numeric.add(column)
    return numeric


def _starts_as_number(value: Any) -> bool:
    """Whether a text is a number, maybe with its error ("0.41 ± 0.01")."""
    try:
        float(str(value).partition("±")[0].strip().rstrip("%").replace(",", ""))
    except ValueError:
        return False
    return True


def to_markdown(
    rows: Sequence[ResultRow], columns: Sequence[str] | None = None, digits: int = 3
) -> str:
    """Writes a table as Markdown.

    Args:
      rows: dicts; a key that is absent is written –.
      columns: which keys, in which order; all of them if None.
      digits: as in `format_number`.

    Returns:
      Lines that end with a newline; without columns the empty text.
    """
    names = columns_of(rows, columns)
    if not names:
        return ""
    right = numeric_columns(rows, names)

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    lines = [line([_cell(name) for name in names])]
    lines.append(line(["--:" if name in right else ":--" for name in names]))
    for row in rows:
        lines.append(
            line([_cell(format_number(row.get(name), digits)) for name in names])
        )
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())


def to_csv(rows: Sequence[ResultRow], columns: Sequence[str] | None = None) -> str:
    """Writes a table as CSV with a header line; numbers in full, None empty."""
    names = columns_of(rows, columns)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(["" if row.get(n) is None else row[n] for n in names])
    return stream.getvalue()


def write_table(
    rows: Sequence[ResultRow],
    path: pathlib.Path,
    columns: Sequence[str] | None = None,
    *,
    title: str = "",
    notes: str = "",
    digits: int = 3,
) -> None:
    """Writes a table beside itself as `<path>.md` and `<path>.csv`.

    Args:
      rows: as for `to_markdown`.
      path: file name without its ending; the folder is made where absent.
      columns: as for `to_markdown`.
      title: heading of the Markdown file.
      notes: text under the table, in the Markdown file.
      digits: as in `format_number`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [f"# {title}\n" if title else "", to_markdown(rows, columns, digits)]
    parts.append(notes.strip() + "\n" if notes else "")
    text = "\n".join(part for part in parts if part)
    path.with_name(path.name + ".md").write_text(text, encoding="utf-8")
    path.with_name(path.name + ".csv").write_text(
        to_csv(rows, columns), encoding="utf-8"
    )
