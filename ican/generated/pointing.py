"""The pointing game: whether visual attention peaks on the ring's stone.

Only the built-in rings know where the stone is that counts. A model hits when the
cell of the feature map with the highest attention, averaged over the co-attention
cells, lies on that stone. The rival is the best constant cell: rings lie in the middle
of their photos, so a prior does better than chance.

Source: Zhang et al., "Top-down Neural Attention by Excitation Backprop", section 4.2.
"""

import numpy as np

from common.data.configs import PhotosConfig
from ican.generated import rings


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


def pointing_scores(
    visual_attention: np.ndarray, stones: np.ndarray, train_stones: np.ndarray
) -> dict[str, float]:
    """Share of hits of the model and of the best constant cell.

    Args:
      visual_attention: [N, L, P].
      stones: bool [N, P] cells on these rings' stones, as `stone_cells` gives them.
      train_stones: bool [M, P] the same of the training rings, to choose the constant.

    Returns:
      "pointing" and "pointing_prior", over the rings with a stone.
    """
    known = stones.any(1)
    peaks = visual_attention.mean(1).argmax(1)  # [N]
    constant = train_stones.sum(0).argmax()
    return {
        "pointing": float(np.mean(stones[known, peaks[known]])),
        "pointing_prior": float(np.mean(stones[known, constant])),
    }
