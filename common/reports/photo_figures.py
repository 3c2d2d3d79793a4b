"""Figures that show photos: what a network saw of them, and what was said of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from common.reports.figures import COLOURS, INK, new_figure, plain, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def attention_panel(
    photos: Sequence[np.ndarray],
    maps: np.ndarray,
    weights: np.ndarray,
    names: Sequence[str],
    title: str = "",
) -> Figure:
    """Draws what each cell looked at (ICAN, Fig. 6), one row of pictures a cell.

    From left to right: the photos, the map, each photo under the map, and the weights
    of the attributes. A dashed line marks the weight of even attention.

    Args:
      photos: uint8 [H, W, 3] each, of one size, as the model saw them; their features
        are averaged, so that one map belongs to all.
      maps: [L, h, w] visual attention of each cell, summing to 1 over the positions.
      weights: [L, A] attention over the attributes, summing to 1.
      names: the A attributes.
      title: above the panel.
    """
    cells, attributes = weights.shape
    count = len(photos)
    pictures = 2 * count + 1
    height = max(1.75, 0.62 + 0.135 * attributes)
    width = 2.6 + 2.0 * pictures  # inches
    figure = new_figure(width, cells * height + (0.35 if title else 0.0))
    if title:
        figure.suptitle(plain(title), fontsize=10, x=0.01, ha="left")
    grid = figure.add_gridspec(
        cells, pictures + 1, width_ratios=[1] * pictures + [1.25]
    )
    heads = [*_number("photo", count), "visual attention", *_number("overlay", count)]
    limit = 1.05 * max(float(np.max(weights)), 1 / attributes)
    extent = (0.0, float(photos[0].shape[1]), float(photos[0].shape[0]), 0.0)
    for cell in range(cells):
        *row, bars = (figure.add_subplot(grid[cell, c]) for c in range(pictures + 1))
        row[count].imshow(maps[cell], cmap="inferno", extent=extent, vmin=0)
        for place, photo in enumerate(photos):
            row[place].imshow(photo, extent=extent)
            overlay = row[count + 1 + place]
            overlay.imshow(photo, extent=extent)
            overlay.imshow(
                maps[cell], cmap="inferno", extent=extent, vmin=0, alpha=0.55,
                interpolation="bilinear",
            )  # fmt: skip
        for axes in row:
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        row[0].set_ylabel(f"cell {cell + 1}", fontsize=9, color=INK)
        _draw_weights(bars, weights[cell], names, limit)
        bars.tick_params(axis="x", labelbottom=cell == cells - 1)
        if cell == 0:
            for axes, head in zip([*row, bars], [*heads, "attributes"], strict=True):
                axes.set_title(head, fontsize=9, color=INK)
    return figure


def _number(word: str, count: int) -> list[str]:
    return [word] if count == 1 else [f"{word} {n}" for n in range(1, count + 1)]


def _draw_weights(
    axes: Axes, weights: np.ndarray, names: Sequence[str], limit: float
) -> None:
    style(axes, grid="x")
    places = np.arange(len(names))
    axes.barh(places, weights, color=COLOURS[0], height=0.72)
    axes.axvline(1 / len(names), color=COLOURS[1], linewidth=1, linestyle="--")
    axes.set_yticks(places, [plain(_short(name)) for name in names])
    axes.invert_yaxis()
    axes.set_xlim(0, limit)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(labelsize=7)
    axes.locator_params(axis="x", nbins=4)


def _short(name: str, length: int = 22) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"


def photo_grid(
    photos: Sequence[np.ndarray], titles: Sequence[str], columns: int = 6
) -> Figure:
    """Draws photos in rows, each under its title.

    Args:
      photos: uint8 [H, W, 3] each.
      titles: one for each; lines are kept.
      columns: photos a row.
    """
    rows = max(1, math.ceil(len(photos) / columns))
    figure = new_figure(1.6 * columns, 2.0 * rows)
    for place, (photo, title) in enumerate(zip(photos, titles, strict=True), 1):
        axes = figure.add_subplot(rows, columns, place)
        axes.imshow(photo)
        axes.set_axis_off()
        axes.set_title(plain(title), fontsize=7)
    return figure


def overlays(
    photos: Sequence[np.ndarray],
    maps: Sequence[Mapping[str, np.ndarray]],
    title: str = "",
) -> Figure:
    """Draws photos, one a row, and beside each the photo under maps of signed numbers.

    Args:
      photos: uint8 [H, W, 3] each.
      maps: {title: [h, w]} of each, the same titles; red is above 0, blue below, each
        on a scale of its own.
      title: above the panel.
    """
    columns, rows = 1 + len(maps[0]), len(photos)
    figure = new_figure(2.6 * columns, 2.9 + 2.6 * (rows - 1))
    if title:
        figure.suptitle(plain(title), fontsize=10, x=0.01, ha="left")
    grid = figure.subplots(rows, columns, squeeze=False)
    names = _number("photo", rows)
    for row, photo, name, its_maps in zip(grid, photos, names, maps, strict=True):
        _overlay_row(row, photo, {name: None, **its_maps})
    return figure


def _overlay_row(
    row: Sequence[Axes], photo: np.ndarray, maps: Mapping[str, np.ndarray | None]
) -> None:
    extent = (0.0, float(photo.shape[1]), float(photo.shape[0]), 0.0)
    for axes, (head, values) in zip(row, maps.items(), strict=True):
        axes.imshow(photo, extent=extent)
        axes.set_axis_off()
        axes.set_title(head, fontsize=9, color=INK)
        if values is not None:
            limit = float(np.max(np.abs(values))) or 1.0
            image = axes.imshow(
                values, cmap="RdBu_r", extent=extent, alpha=0.6, vmin=-limit,
                vmax=limit, interpolation="bilinear",
            )  # fmt: skip
            bar = axes.figure.colorbar(image, ax=axes, shrink=0.7)
            bar.ax.tick_params(labelsize=6)
