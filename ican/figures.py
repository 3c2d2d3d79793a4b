"""Drawings of what the network looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from common.data.configs import PhotosConfig
from common.data.crops import cut_photos
from common.data.listings import Source
from common.reports import photo_figures
from common.tables.encoders import Encoders, Words
from ican.step import Outputs

if TYPE_CHECKING:
    from matplotlib.figure import Figure


BARS = 24  # attributes and words that are drawn, the heaviest in any cell


def name_entries(encoders: Encoders, row: Mapping[Any, Any]) -> list[str]:
    """What each place of the attribute attention holds.

    Args:
      encoders: of the attributes.
      row: typed cells of one item.

    Returns:
      [A] names of attributes, and the words and pairs of texts, which the name of their
      attribute leads where there are several texts; "" where nothing stands.
    """
    texts = sum(isinstance(fitted, Words) for fitted in encoders.attributes)
    names: list[str] = []
    for fitted in encoders.attributes:
        name = fitted.attribute.name
        if not isinstance(fitted, Words):
            names.append(name)
            continue
        words = fitted.encoder.name_entries(row[fitted.attribute.columns[0]])
        lead = f"{name}: " if texts > 1 else ""
        names += [f"{lead}“{word}”" for word in words]
        names += [""] * (fitted.encoder.length - len(words))
    return names


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

    Of many attributes and words the heaviest are drawn, in their order.

    Args:
      source: of the photos.
      row: of the source.
      photos: how photos are cut.
      outputs: attention of some rows.
      position: of this row in `outputs`.
      names: of each place of the attribute attention, "" for one to leave out.
      title: above the panel.
    """
    assert (
        outputs.visual_attention is not None and outputs.attribute_attention is not None
    )
    cut, mask = cut_photos(source[row]["images"], photos, None)
    seen = max(int(mask.sum()), 1)  # a row without a photo shows a blank one
    maps = outputs.visual_attention[position]  # [L, P]
    side = side_of_map(maps.shape[-1])
    weights = np.asarray(outputs.attribute_attention[position])  # [L, A]
    filled = [place for place, name in enumerate(names) if name] or [0]
    heaviest = sorted(filled, key=lambda place: -weights[:, place].max())[:BARS]
    kept = sorted(heaviest)
    return photo_figures.attention_panel(
        list(cut[:seen]),
        np.asarray(maps).reshape(-1, side, side),  # [L, h, w]
        weights[:, kept],
        [names[place] or "nothing" for place in kept],
        title,
    )
