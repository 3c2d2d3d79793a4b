"""The pointing game: whether attention peaks on what counts.

Only the built-in rings know where the stone is that counts. A model hits when the
cell of the feature map with the highest attention, averaged over the co-attention
cells, lies on that stone. The rival is the best constant cell: rings lie in the middle
of their photos, so a prior does better than chance.

The same is played on the words of titles, where these are: a hit is the telling word, or
a pair of words that holds it, and the rival is the best constant place in the text.

Source: Zhang et al., "Top-down Neural Attention by Excitation Backprop", section 4.2.
"""

import numpy as np

from common.data.configs import PhotosConfig
from common.text.encoder import FIRST, TextEncoder
from ican.generated import catalogue, rings


def stone_cells(
    config: rings.RingsConfig, photos: PhotosConfig, numbers: np.ndarray, side: int
) -> np.ndarray:
    """Which cells of the map lie on the stone.

    They are the cell that holds the stone's middle, and all whose own middle is within
    the stone's radius: on a coarse map one cell, on a fine map several.

    Args:
      config: of the rings.
      photos: how photos are cut; the centre crop is meant.
      numbers: int [N] of rings.
      side: of the square feature map.

    Returns:
      bool [N, side * side], row by row; all False for a ring without the stone, or with
      its middle outside the crop.
    """
    truth = rings.truth(config, numbers)
    margin = (photos.resize - photos.crop) // 2
    place = np.stack([truth["y"], truth["x"]], axis=1)  # [N, 2], shares of the photo
    place = (place * photos.resize - margin) / photos.crop * side  # in cells
    radius = truth["radius"] * photos.resize / photos.crop * side
    known = np.all((place >= 0) & (place < side), axis=1)  # NaN compares as False
    grid = np.indices((side, side)).reshape(2, -1).T  # [P, 2]
    holds = np.all(grid == np.floor(place)[:, None], axis=2)  # [N, P]
    offset = grid + 0.5 - place[:, None]  # [N, P, 2]
    within = np.hypot(offset[..., 0], offset[..., 1]) <= radius[:, None]
    return (holds | within) & known[:, None]


def telling_entries(encoder: TextEncoder, ids: np.ndarray) -> np.ndarray:
    """Which entries of encoded titles are the telling word, or a pair that holds it.

    Args:
      encoder: of the titles.
      ids: int [N, L] of `TextEncoder.encode`.

    Returns:
      bool [N, L], all False in a row whose telling word the vocabulary does not hold.
    """
    names = set(catalogue.TELLING.names)
    terms = [bool(names.intersection(term.split())) for term in encoder.terms]
    return np.array([False] * FIRST + terms)[ids]


def pointing_scores(
    attention: np.ndarray,
    targets: np.ndarray,
    train_targets: np.ndarray,
    name: str = "pointing",
) -> dict[str, float]:
    """Share of hits of the model and of the best constant place.

    Args:
      attention: [N, L, P] over cells of the map, or over entries of the title.
      targets: bool [N, P] what counts in these rings, as `stone_cells` or
        `telling_entries` give it.
      train_targets: bool [M, P] the same of the training rings, to choose the constant.
      name: of the score.

    Returns:
      {name, name_prior}, over the rings in which anything counts.
    """
    known = targets.any(1)
    peaks = attention.mean(1).argmax(1)  # [N]
    constant = train_targets.sum(0).argmax()
    return {
        name: float(np.mean(targets[known, peaks[known]])),
        f"{name}_prior": float(np.mean(targets[known, constant])),
    }
