"""Drawings of what the network looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from common.data.configs import PhotosConfig
from common.data.crops import cut_photos
from common.data.listings import Source
from common.reports import photo_figures
from ican.step import Outputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def side_of_map(positions: int) -> int:
    """Side of the square feature map with that many positions."""
    side = round(positions**0.5)
    if side * side != positions:
        raise ValueError(f"{positions} positions are no square map")
    return side


def draw_row(
    source: Source,
    row: int,
    photos: PhotosConfig,
    outputs: Outputs,
    position: int,
    names: Sequence[str],
    title: str,
) -> Figure:
    """Draws photos, visual map, overlays and attribute bars of every cell.

    Args:
      source: of the photos.
      row: of the source.
      photos: how photos are cut.
      outputs: attention of some rows.
      position: of this row in `outputs`.
      names: the attributes.
      title: above the panel.
    """
    assert (
        outputs.visual_attention is not None and outputs.attribute_attention is not None
    )
    cut, mask = cut_photos(source[row]["images"], photos, None)
    seen = max(int(mask.sum()), 1)  # a row without a photo shows a blank one
    maps = outputs.visual_attention[position]  # [L, P]
    side = side_of_map(maps.shape[-1])
    return photo_figures.attention_panel(
        list(cut[:seen]),
        np.asarray(maps).reshape(-1, side, side),  # [L, h, w]
        np.asarray(outputs.attribute_attention[position]),
        names,
        title,
    )
