"""The pointing game: whether visual attention peaks where the ring's stone is.

Only the built-in rings know where the stone is that counts. A model hits when the
cell of the feature map with the highest attention, averaged over the co-attention
cells, holds the middle of that stone. The rival is the best constant cell: rings lie
in the middle of their photos, so a prior does better than chance.
"""

import numpy as np

from common.data.crops import PhotosConfig
from ican import rings


def stone_cells(
    config: rings.RingsConfig, photos: PhotosConfig, numbers: np.ndarray, side: int
) -> np.ndarray:
    """Which cell of the map holds the middle of the stone.

    Args:
      config: of the rings.
      photos: how photos are cut; the centre crop is meant.
      numbers: int [N] of rings.
      side: of the square feature map.

    Returns:
      int64 [N], row by row; -1 for a ring without the stone, or with it outside the
      crop.
    """
    truth = rings.truth(config, numbers)
    margin = (photos.resize - photos.crop) // 2
    place = np.stack([truth["y"], truth["x"]])  # [2, N]
    place = (place * photos.resize - margin) / photos.crop
    known = np.all((place >= 0) & (place < 1), axis=0)  # NaN compares as False
    cells = np.floor(np.where(known, place, 0) * side).astype(np.int64)
    return np.where(known, cells[0] * side + cells[1], -1)


def pointing_scores(
    visual_attention: np.ndarray, stones: np.ndarray, train_stones: np.ndarray
) -> dict[str, float]:
    """Share of hits of the model and of the best constant cell.

    Args:
      visual_attention: [N, L, P].
      stones: int [N] cells of these rings' stones, as `stone_cells` gives them.
      train_stones: int [M] the same of the training rings, to choose the constant.

    Returns:
      "pointing" and "pointing_prior", over the rings with a stone.
    """
    known = stones >= 0
    peaks = visual_attention.mean(1).argmax(1)  # [N]
    constant = np.bincount(train_stones[train_stones >= 0]).argmax()
    return {
        "pointing": float(np.mean(peaks[known] == stones[known])),
        "pointing_prior": float(np.mean(stones[known] == constant)),
    }
