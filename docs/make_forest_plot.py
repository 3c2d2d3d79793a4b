"""Draws all committed claims: `python docs/make_forest_plot.py`.

Reads `docs/results/<system>/*_claims.csv`, writes `docs/results/claims.png`. A claims.csv
of `--mode=reproduce` may be laid there as it is: its interval is one column, and it
says nothing of metric and data.
"""

from __future__ import annotations

import csv
import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

_ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_ROOT))  # docs is no package

from common.reports import figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RESULTS = _ROOT / "docs" / "results"
VERDICTS = ("held", "not held", "lost")
_STYLES = {  # colour and marker, so that either tells
    "held": (figures.COLOURS[2], "o"),
    "not held": ("#888888", "D"),
    "lost": (figures.COLOURS[1], "X"),
}
_SECTIONS = {
    "real": "REAL DATA",
    "simulated": "REAL PHOTOS, SIMULATED USERS",
    "generated": "GENERATED DATA",
    "": "OTHER DATA",
}
_OFF = "THE EFFECT SWITCHED OFF (a claim on it should fail)"
_SYSTEMS = ("ican", "pricer", "recsys", "rerank", "forecast")

_PALETTE = 28  # colours of the file: keeps it small
_LINE = 0.128  # inches: height of a claim
_WIDTH = 6.9  # of a column
_LABEL, _PLOT, _FIGURES = 0.0, (0.5, 0.7), 0.71  # shares of it
_LONGEST = 73  # letters of a label
_HEIGHTS = {"section": 1.7, "block": 1.5, "remark": 1.1, "claim": 1.0, "gap": 0.6}


@dataclasses.dataclass(frozen=True)
class Claim:
    """A line of a claims file.

    Attributes:
      text: what is claimed.
      difference: of the metric, its sign turned so that above 0 speaks for the claim;
        None where none was printed.
      low: lower end of its 95 % interval, or None.
      high: upper end, or None.
      shown: these three as they are printed.
      verdict: one of `VERDICTS`.
      metric: what it is a difference of.
      data: "generated rings", with ", " and what sets the row apart behind it.
    """

    text: str
    difference: float | None
    low: float | None
    high: float | None
    shown: str
    verdict: str
    metric: str
    data: str


def read_claims(path: pathlib.Path) -> list[Claim]:
    """Reads a claims file, committed or as `--mode=reproduce` writes it.

    Raises:
      ValueError: a number or a verdict is none.
      KeyError: a column is missing.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        return [_claim_of(row) for row in csv.DictReader(stream)]


def _signed(number: str) -> str:
    """As in the tables: 0.018 is +.018, -1.4 is -1.4."""
    sign = "-" if number.startswith("-") else "+"
    digits = number.lstrip("+-")
    return sign + (digits[1:] if digits.startswith("0.") else digits)


def _claim_of(row: dict[str, str]) -> Claim:
    """Of a row of either kind."""
    ends = (row["95 % interval"].split(" to ") if "95 % interval" in row
            else [row["low"], row["high"]])  # fmt: skip
    low, high = (float(end) if end else None for end in ends)
    verdict = row["verdict"] if "verdict" in row else row["here"]
    if verdict not in VERDICTS:
        raise ValueError(f"{row['claim']}: {verdict!r} is no verdict")
    difference = float(row["difference"]) if row["difference"] else None
    told = [_signed(number) for number in (row["difference"], *ends)]
    shown = f"{told[0]} ({told[1]} to {told[2]})"
    return Claim(row["claim"], difference, low, high, shown, verdict,
                 row.get("metric", ""), row.get("data", ""))  # fmt: skip


def claims_files() -> list[pathlib.Path]:
    """All committed claims files, system by system."""
    files = RESULTS.glob("*/*_claims.csv")
    return sorted(
        files,
        key=lambda f: (_SYSTEMS.index(f.parent.name), f.stem.removesuffix("_claims")),
    )


def is_switched_off(path: pathlib.Path) -> bool:
    """Whether its claims are of worlds without the effect that they are about."""
    return path.name.endswith("_switched_off_claims.csv")


def count_verdicts(claims: Sequence[Claim]) -> dict[str, int]:
    """How many claims have each verdict."""
    return {name: sum(c.verdict == name for c in claims) for name in VERDICTS}


def scaled(claim: Claim) -> tuple[float, float, float]:
    """Difference, low and high over the end of the interval that is farther from 0."""
    assert claim.difference is not None
    assert claim.low is not None and claim.high is not None
    unit = max(abs(claim.low), abs(claim.high)) or 1.0
    return claim.difference / unit, claim.low / unit, claim.high / unit


@dataclasses.dataclass(frozen=True)
class _Line:
    """A line of the picture: a heading, a remark or a claim."""

    kind: str
    text: str
    right: str = ""
    claims: tuple[Claim, ...] = ()


def _block_lines(path: pathlib.Path) -> list[_Line]:
    """The lines of a claims file: heading, claims with intervals, what has none."""
    claims = read_claims(path)
    data = [claim.data.split(", ", 1) for claim in claims]
    details = {parts[1] if len(parts) > 1 else "" for parts in data}
    name = data[0][0] or path.stem.removesuffix("_claims")
    if len(details) == 1 and "" not in details:
        name += f", {details.pop()}"
    held = count_verdicts(claims)["held"]
    lines = [
        _Line("block", f"{path.parent.name}: {name}", f"{held} of {len(claims)} held")
    ]
    for claim, parts in zip(claims, data, strict=True):
        if claim.low is None:
            continue
        label = claim.text
        if len(details) > 1 and len(parts) > 1:
            label += f" ({parts[1]})"
        lines.append(_Line("claim", label, claims=(claim,)))
    without = tuple(claim for claim in claims if claim.low is None)
    if without:
        text = "and" if len(lines) > 1 else ""
        text += f" {len(without)} whose intervals are not printed"
        lines.append(_Line("remark", text.strip(), claims=without))
    return [*lines, _Line("gap", "")]


def _columns() -> tuple[list[_Line], list[_Line]]:
    """Real data left, generated right, switched off where there is more room."""
    left: list[_Line] = []
    right: list[_Line] = []
    files = claims_files()
    kinds = {path: read_claims(path)[0].data.split(" ")[0] for path in files}
    for kind, title in _SECTIONS.items():
        chosen = [f for f in files if kinds[f] == kind and not is_switched_off(f)]
        column = right if kind == "generated" else left
        if chosen:
            column.append(_Line("section", title))
        for path in chosen:
            column += _block_lines(path)
    headed: set[int] = set()
    for path in filter(is_switched_off, files):
        column = min(left, right, key=_height)
        if id(column) not in headed:
            column.append(_Line("section", _OFF))
            headed.add(id(column))
        column += _block_lines(path)
    return left, right


def _height(lines: Sequence[_Line]) -> float:
    """Of a column, in claims."""
    return sum(_HEIGHTS[line.kind] for line in lines)


def _place(value: float) -> float:
    """Where a value between -1 and 1 lies in a column."""
    return sum(_PLOT) / 2 + (_PLOT[1] - _PLOT[0]) / 2 * value


def _draw_claim(axes: Axes, y: float, claim: Claim) -> None:
    """Draws an interval, its mean, and the figures beside it."""
    colour, marker = _STYLES[claim.verdict]
    mean, low, high = map(_place, scaled(claim))
    axes.plot([low, high], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
    face = "white" if claim.verdict == "not held" else colour
    axes.plot(mean, y, marker, color=colour, markerfacecolor=face, markersize=4.2)
    axes.text(_FIGURES, y, claim.shown, fontsize=6, va="center", color=figures.INK)
    axes.text(
        1, y, claim.metric, fontsize=6, va="center", ha="right", color=figures.INK
    )


def _draw_counts(axes: Axes, y: float, claims: Sequence[Claim]) -> None:
    """Draws how many claims without an interval went which way."""
    places = {"held": 0.6, "not held": -0.05, "lost": -0.7}
    for name, count in count_verdicts(claims).items():
        colour, marker = _STYLES[name]
        if count:
            face = "white" if name == "not held" else colour
            axes.plot(_place(places[name]), y, marker, color=colour, markersize=4.2,
                      markerfacecolor=face)  # fmt: skip
            axes.text(_place(places[name] + 0.1), y, f"x {count}", fontsize=6.4,
                      va="center", color=colour, weight="bold")  # fmt: skip


def _draw_heading(axes: Axes, top: float, line: _Line) -> None:
    """Draws a band with a title; the darker one is of a section."""
    bottom = top + _HEIGHTS[line.kind]
    shade, ink = (
        ("#333333", "white") if line.kind == "section" else ("#dfe8f1", "black")
    )
    axes.axhspan(top, bottom, color=shade, linewidth=0)
    for x, text, side in ((0.004, line.text, "left"), (0.996, line.right, "right")):
        axes.text(x, (top + bottom) / 2, text, fontsize=8, weight="bold", color=ink,
                  va="center_baseline", ha=side)  # fmt: skip


def _draw_column(axes: Axes, lines: Sequence[_Line], height: float) -> None:
    """Draws lines from the top down."""
    axes.set_xlim(0, 1)
    axes.set_ylim(height, 0)
    axes.axis("off")
    top = 0.0
    for line in lines:
        y = top + _HEIGHTS[line.kind] / 2
        if line.kind in ("section", "block"):
            _draw_heading(axes, top, line)
        elif line.claims:
            span = [top, top + _HEIGHTS[line.kind]]
            axes.plot([_place(0)] * 2, span, color="#555555", linewidth=0.7)
            text = line.text
            if len(text) > _LONGEST:
                text = text[: _LONGEST - 1] + "…"
            axes.text(_LABEL, y, text, fontsize=6.4, va="center", color=figures.INK)
            if line.kind == "remark":
                _draw_counts(axes, y, line.claims)
            else:
                _draw_claim(axes, y, line.claims[0])
        top += _HEIGHTS[line.kind]


def make_forest_plot(path: pathlib.Path) -> None:
    """Writes the picture of all claims."""
    from matplotlib.lines import Line2D

    columns = _columns()
    height = max(map(_height, columns))
    figure = figures.new_figure(2 * _WIDTH + 0.3, _LINE * height + 0.6)
    every = [c for file in claims_files() if not is_switched_off(file)
             for c in read_claims(file)]  # fmt: skip
    counts = count_verdicts(every)
    handles = [
        Line2D([], [], color=colour, marker=marker, linewidth=1.6, markersize=6,
               markerfacecolor="white" if name == "not held" else colour,
               label=f"{name}: {counts[name]} of {len(every)}")
        for name, (colour, marker) in _STYLES.items()
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False,
                  fontsize=10, title="left of the line: against the claim,  right: for"
                  " it;  a short bar is a sure one", title_fontsize=9)  # fmt: skip
    for position, lines in enumerate(columns, 1):
        _draw_column(figure.add_subplot(1, 2, position), lines, height)
    figures.save(figure, path, dpi=120)
    # Few pixels are marks, but theirs are the colours that must stay.
    picture = Image.open(path).convert("RGB")
    palette = picture.quantize(_PALETTE, Image.Quantize.MAXCOVERAGE, kmeans=2)
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


if __name__ == "__main__":
    make_forest_plot(RESULTS / "claims.png")
