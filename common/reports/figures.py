"""Figures of the reports; each function returns a matplotlib Figure and shows nothing.

They use matplotlib's objects, never pyplot, so no global state and no display. It is
imported with the first figure: programs start a second sooner.
"""

from __future__ import annotations

import io
import math
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from common.reports import result_tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444")
INK = "#333333"


def png(figure: Figure, dpi: int = 110) -> bytes:
    """Draws a figure as PNG."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # Names in a script that the font lacks show as boxes; that is no error.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        figure.savefig(stream, format="png", dpi=dpi, facecolor="white")
    return stream.getvalue()


def save(figure: Figure, path: pathlib.Path, dpi: int = 110) -> None:
    """Writes a figure as PNG; the folder is made where absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(figure, dpi))


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size, inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def place_legend_above(axes: Axes, fontsize: float = 8) -> None:
    """A legend in one line above the right end of the axes, where it hides nothing."""
    axes.legend(
        fontsize=fontsize,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=9,
        frameon=False,
        borderaxespad=0.2,
    )


def style(axes: Axes, grid: str = "y") -> Axes:
    """Draws axes with two spines and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#999999")
    axes.tick_params(colors=INK, labelsize=8)
    axes.grid(axis=grid, color="#e3e3e3", linewidth=0.7)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.title.set_fontsize(10)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    return axes


def plain(text: str) -> str:
    """Keeps matplotlib from reading the dollars of a text as a formula."""
    return text.replace("$", r"\$")


def learning_curves(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    xlabel: str = "step",
) -> Figure:
    """Draws metrics over training, panels side by side.

    Args:
      panels: {title: {name of a curve: (steps, values)}}.
      xlabel: what is counted.
    """
    columns = max(1, min(3, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    figure = new_figure(3.9 * columns, 2.8 * rows)
    for position, (title, curves) in enumerate(panels.items(), 1):
        axes = style(figure.add_subplot(rows, columns, position))
        for number, (name, (steps, values)) in enumerate(curves.items()):
            # A run of one evaluation is a point, which a bare line would not show.
            marker = "o" if len(steps) < 25 else None
            axes.plot(
                steps,
                values,
                color=COLOURS[number % len(COLOURS)],
                label=plain(name),
                linewidth=1.6,
                marker=marker,
                markersize=3,
            )
        axes.set_title(plain(title), loc="left")
        axes.set_xlabel(plain(xlabel))
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        axes.locator_params(axis="x", nbins=5)
        if len(curves) > 1 or title not in curves:
            axes.legend(frameon=False, fontsize=8)
    return figure


def confusion_matrix(
    counts: np.ndarray,
    labels: Sequence[str] | None = None,
    *,
    true_label: str = "true label",
    predicted_label: str = "predicted label",
) -> Figure:
    """Draws how often each class was taken for each, as a heat map (ICAN, Fig. 5).

    Every row is divided by its sum; a class without items has an empty row.

    Args:
      counts: [K, K], counts[i, j] items of class i predicted as j.
      labels: names of the classes; their numbers if None.
      true_label: name of the rows.
      predicted_label: name of the columns.
    """
    counts = np.asarray(counts, dtype=np.float64)
    classes = len(counts)
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(
        counts, totals, out=np.full_like(counts, np.nan), where=totals > 0
    )
    highest = float(np.nanmax(share)) if totals.any() else 1.0
    side = float(np.clip(2.4 + 0.27 * classes, 3.6, 9))
    figure = new_figure(side + 0.8, side)
    axes = figure.add_subplot()
    import matplotlib

    colours = matplotlib.colormaps["Blues"].with_extremes(bad="#f0f0f0")
    image = axes.imshow(share, cmap=colours, vmin=0, vmax=highest)
    names = [plain(str(n)) for n in (range(classes) if labels is None else labels)]
    axes.set_xticks(
        range(classes), names, rotation=90 if max(map(len, names)) > 2 else 0
    )
    axes.set_yticks(range(classes), names)
    axes.tick_params(length=0, labelsize=8, colors=INK)
    axes.set_xlabel(plain(predicted_label), fontsize=9)
    axes.set_ylabel(plain(true_label), fontsize=9)
    axes.spines[:].set_visible(False)
    if classes <= 20:
        _write_percents(axes, share, 0.55 * highest)
    bar = figure.colorbar(image, ax=axes, shrink=0.75)
    bar.set_label("share of the row", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def _write_percents(axes: Axes, share: np.ndarray, dark: float) -> None:
    """Writes whole percents into a heat map, white above `dark`, nothing at 0."""
    for (row, column), value in np.ndenumerate(share):
        if np.isfinite(value) and value >= 0.005:
            axes.text(
                column,
                row,
                f"{100 * value:.0f}",
                ha="center",
                va="center",
                fontsize=6.5,
                color="white" if value > dark else INK,
            )


def reliability_bins(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 10
) -> list[dict[str, Any]]:
    """Groups predictions by confidence into bins of equal width.

    Args:
      confidence: [N] probability of the predicted class.
      correct: [N] whether it was right.
      bins: how many.

    Returns:
      one dict for each bin that is not empty: "low", "high", "count", "confidence"
      (mean) and "accuracy".
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    correct = np.asarray(correct, dtype=np.float64)
    bin_of_row = np.clip((confidence * bins).astype(int), 0, bins - 1)
    found = []
    for number in range(bins):
        inside = bin_of_row == number
        if inside.any():
            found.append(
                {
                    "low": number / bins,
                    "high": (number + 1) / bins,
                    "count": int(inside.sum()),
                    "confidence": float(confidence[inside].mean()),
                    "accuracy": float(correct[inside].mean()),
                }
            )
    return found


def reliability_diagram(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 10
) -> Figure:
    """Draws accuracy against confidence; on the diagonal the model is calibrated.

    Below it, how many predictions lie in each bin.

    Args:
      confidence: [N] probability of the predicted class.
      correct: [N] whether it was right.
      bins: how many.
    """
    rows = reliability_bins(confidence, correct, bins)
    figure = new_figure(4.2, 4.2)
    grid = figure.add_gridspec(2, 1, height_ratios=[3, 1])
    upper = style(figure.add_subplot(grid[0]), grid="both")
    lower = style(figure.add_subplot(grid[1], sharex=upper))
    left = [row["low"] for row in rows]
    bars: dict[str, Any] = {
        "width": 0.92 / bins,
        "align": "edge",
        "color": COLOURS[5],
    }
    upper.bar(left, [row["accuracy"] for row in rows], **bars)
    upper.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--")
    upper.plot(
        [row["confidence"] for row in rows],
        [row["accuracy"] for row in rows],
        "o",
        color=COLOURS[0],
        markersize=4,
    )
    upper.set_ylabel("accuracy", fontsize=9)
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1)
    upper.tick_params(labelbottom=False)
    lower.bar(left, [row["count"] for row in rows], **bars)
    lower.set_ylabel("items", fontsize=9)
    lower.set_xlabel("confidence", fontsize=9)
    return figure


def band_bars(
    names: Sequence[str],
    values: Sequence[float],
    *,
    ylabel: str,
    counts: Sequence[int] | None = None,
    reference: float | None = None,
    reference_label: str = "all",
) -> Figure:
    """Draws one bar a band, such as the error in each price band.

    Args:
      names: of the bands, from low to high.
      values: one a band; NaN where a band is empty.
      ylabel: what the values are, with their unit.
      counts: items in each band, written above the bars.
      reference: a value over all bands, drawn as a dashed line.
      reference_label: what that line is.
    """
    figure = new_figure(float(np.clip(1.5 + 0.42 * len(names), 4.2, 10)), 3.0)
    axes = style(figure.add_subplot())
    places = np.arange(len(names))
    heights = np.asarray(values, dtype=np.float64)
    axes.bar(places, np.nan_to_num(heights), color=COLOURS[0], width=0.75)
    turn = 45 if max((len(name) for name in names), default=0) > 3 else 0
    axes.set_xticks(
        places, [plain(name) for name in names], rotation=turn, ha="right" if turn else "center",
        rotation_mode="anchor" if turn else "default",
    )  # fmt: skip
    axes.set_ylabel(plain(ylabel), fontsize=9)
    axes.tick_params(axis="x", length=0)
    if counts is not None:
        for place, height, count in zip(places, heights, counts, strict=True):
            axes.annotate(
                f"{count:,}",
                (place, np.nan_to_num(height)),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color=INK,
                # Readable where the line of the reference runs through it.
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
                zorder=3,
            )
    if reference is not None:
        axes.axhline(
            reference, color=COLOURS[1], linewidth=1.2, linestyle="--",
            label=plain(reference_label),
        )  # fmt: skip
        axes.legend(frameon=False, fontsize=8)
    return figure


def price_scatter(
    actual: np.ndarray,
    predicted: np.ndarray,
    *,
    unit: str,
    groups: Mapping[str, np.ndarray] | None = None,
) -> Figure:
    """Draws predicted against actual prices, both on a logarithmic axis.

    On the solid line a prediction is right, on the dashed ones it is twice or half.

    Args:
      actual: [N] prices above 0.
      predicted: [N].
      unit: of both, for the axes.
      groups: {name: bool [N]} rows to draw in a colour of their own; all in one if None.
    """
    from matplotlib import ticker

    figure = new_figure(4.6, 4.6)
    axes = style(figure.add_subplot(), grid="both")
    both = np.concatenate([actual, predicted])
    low, high = (both.min() / 1.2, both.max() * 1.2) if both.size else (1.0, 10.0)
    ends = np.array([low, high])
    axes.plot(ends, ends, color=INK, linewidth=1, zorder=3)
    for factor in (0.5, 2.0):
        axes.plot(
            ends, factor * ends, color=INK, linewidth=0.8, linestyle="--", zorder=3
        )
    shade = float(np.clip(300 / max(len(actual), 1), 0.25, 0.8))
    whole = {"": np.ones(len(actual), bool)}
    for number, (name, chosen) in enumerate((groups or whole).items()):
        axes.scatter(
            actual[chosen], predicted[chosen], s=9, color=COLOURS[number], alpha=shade,
            linewidths=0, label=plain(name),
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    # Within few decades their beginnings alone would leave too little to read off.
    marks = (1.0, 2.0, 5.0) if high / low < 1000 else (1.0,)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(ticker.LogLocator(subs=marks, numticks=12))
        axis.set_minor_locator(ticker.NullLocator())
        axis.set_major_formatter(lambda x, _: result_tables.format_plain(x))
    axes.set_xlabel(plain(f"actual price ({unit})"))
    axes.set_ylabel(plain(f"predicted price ({unit})"))
    if groups:
        axes.legend(frameon=False, fontsize=8, loc="upper left", markerscale=2)
    return figure


def histogram(values: Sequence[float], *, xlabel: str, log: bool = False) -> Figure:
    """Draws how often values occur, such as the target of a table.

    Args:
      values: [N] finite; greater than 0 if `log`.
      xlabel: what they are, with their unit.
      log: whether bins are of equal width in the logarithm.
    """
    figure = new_figure(4.8, 2.8)
    axes = style(figure.add_subplot())
    array = np.asarray(values, dtype=np.float64)
    edges: Any = 40
    if log and array.size and array.min() < array.max():
        edges = np.geomspace(array.min(), array.max(), 41)
        axes.set_xscale("log")
    axes.hist(array, bins=edges, color=COLOURS[0])
    axes.set_xlabel(plain(xlabel), fontsize=9)
    axes.set_ylabel("items", fontsize=9)
    return figure
