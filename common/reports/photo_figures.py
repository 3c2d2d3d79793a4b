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
    photo: np.ndarray,
    maps: np.ndarray,
    weights: np.ndarray,
    names: Sequence[str],
    title: str = "",
) -> Figure:
    """Draws what each cell looked at (ICAN, Fig. 6), one row of pictures a cell.

    From left to right: the photo, the map, the photo under the map, and the weights
    of the attributes. A dashed line marks the weight of even attention.

    Args:
      photo: uint8 [H, W, 3], as the model saw it.
      maps: [L, h, w] visual attention of each cell, summing to 1 over the positions.
      weights: [L, A] attention over the attributes, summing to 1.
      names: the A attributes.
      title: above the panel.
    """
    cells, attributes = weights.shape
    height = max(1.75, 0.62 + 0.135 * attributes)
    figure = new_figure(8.6, cells * height + (0.35 if title else 0.0))
    if title:
        figure.suptitle(plain(title), fontsize=10, x=0.01, ha="left")
    grid = figure.add_gridspec(cells, 4, width_ratios=[1, 1, 1, 1.25])
    heads = ("photo", "visual attention", "overlay", "attributes")
    limit = 1.05 * max(float(np.max(weights)), 1 / attributes)
    extent = (0.0, float(photo.shape[1]), float(photo.shape[0]), 0.0)
    for cell in range(cells):
        row = [figure.add_subplot(grid[cell, column]) for column in range(4)]
        row[0].imshow(photo, extent=extent)
        row[1].imshow(maps[cell], cmap="inferno", extent=extent, vmin=0)
        row[2].imshow(photo, extent=extent)
        row[2].imshow(
            maps[cell], cmap="inferno", extent=extent, vmin=0, alpha=0.55,
            interpolation="bilinear",
        )  # fmt: skip
        for axes in row[:3]:
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        row[0].set_ylabel(f"cell {cell + 1}", fontsize=9, color=INK)
        _draw_weights(row[3], weights[cell], names, limit)
        row[3].tick_params(axis="x", labelbottom=cell == cells - 1)
        if cell == 0:
            for axes, head in zip(row, heads, strict=True):
                axes.set_title(head, fontsize=9, color=INK)
    return figure


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
    photo: np.ndarray, maps: Mapping[str, np.ndarray], title: str = ""
) -> Figure:
    """Draws a photo, and beside it the photo under maps of signed numbers.

    Args:
      photo: uint8 [H, W, 3].
      maps: {title: [h, w]}; red is above 0, blue below, each on a scale of its own.
      title: above the panel.
    """
    figure = new_figure(2.6 * (1 + len(maps)), 2.9)
    if title:
        figure.suptitle(plain(title), fontsize=10, x=0.01, ha="left")
    extent = (0.0, float(photo.shape[1]), float(photo.shape[0]), 0.0)
    row = figure.subplots(1, 1 + len(maps), squeeze=False)[0]
    for axes, (head, values) in zip(row, [("photo", None), *maps.items()], strict=True):
        axes.imshow(photo, extent=extent)
        axes.set_axis_off()
        axes.set_title(head, fontsize=9, color=INK)
        if values is not None:
            limit = float(np.max(np.abs(values))) or 1.0
            image = axes.imshow(
                values, cmap="RdBu_r", extent=extent, alpha=0.6, vmin=-limit,
                vmax=limit, interpolation="bilinear",
            )  # fmt: skip
            bar = figure.colorbar(image, ax=axes, shrink=0.7)
            bar.ax.tick_params(labelsize=6)
    return figure
