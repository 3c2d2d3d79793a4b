"""How the gate is set: its weight beta before joint training, its threshold after.

All of it is on the host, in numpy float64.
"""

import dataclasses
import math

import numpy as np

# beta of Eq. 1 and 3 in units of the conditional squared error at the quantile.
SAFETY = 2.0
# Half width of the ranks around the quantile whose errors are averaged.
WINDOW = 0.1
# A gate that accepts so much less than it was told is warned about.
SHORTFALL = 0.02


def error_at_quantile(
    gate_logits: np.ndarray, squared_errors: np.ndarray, delta: float
) -> float:
    """Mean squared error of the items whose gate rank is near the quantile delta.

    Items are ranked from the surest to the least sure; those whose rank lies within
    `WINDOW` of delta are averaged. Joint training settles at a share of acceptance of
    delta only if beta is larger than this: the gate gives up an item where its squared
    error exceeds beta.

    Args:
      gate_logits: [N].
      squared_errors: [N], of training items.
      delta: share to accept.

    Returns:
      A squared log price.
    """
    count = len(gate_logits)
    order = np.argsort(-np.asarray(gate_logits, np.float64), kind="stable")
    low = math.floor(max(delta - WINDOW, 0) * count)
    high = math.ceil(min(delta + WINDOW, 1) * count)
    return float(np.mean(np.asarray(squared_errors, np.float64)[order[low:high]]))


@dataclasses.dataclass(frozen=True)
class Threshold:
    """Where the gate's score is cut.

    Attributes:
      logit: least accepted score; 0 is the paper's f_cls >= 0.5.
    """

    logit: float = 0.0

    @classmethod
    def fit(cls, gate_logits: np.ndarray, share: float) -> "Threshold":
        """The threshold that accepts a share of validation items.

        The ceil(share * n) items with the highest scores are accepted, and what ties
        with the last of them.

        Args:
          gate_logits: [n] of validation items, at least one.
          share: to accept, above 0 and at most 1.
        """
        if not 0 < share <= 1:
            raise ValueError(f"share must lie in (0, 1], not {share}")
        scores = np.sort(np.asarray(gate_logits, np.float64))[::-1]
        # The subtraction keeps 0.7 * 10 from becoming 8 by rounding.
        count = max(math.ceil(share * len(scores) - 1e-9), 1)
        return cls(float(scores[count - 1]))

    def accepts(self, gate_logits: np.ndarray) -> np.ndarray:
        """bool [n]: which items get a suggestion."""
        return np.asarray(gate_logits) >= self.logit
