"""Parameters of the generated rings: sizes, switches and how much each effect weighs.

They are fixed before any training on the rings. Whoever changes what a (seed, index)
yields, here or in another module of this folder, raises GENERATOR_VERSION.
"""

import dataclasses

from common.config.configs import knob
from common.data.generated import GeneratedConfig
from common.errors import UserError

GENERATOR_VERSION = 2

# How each effect divides its share of the variance. Each dictionary sums to 1.
ATTRIBUTES_PARTS = {
    "metal": 0.22,
    "heft": 0.12,  # weight beyond what size and metal explain
    "size": 0.02,
    "kind": 0.20,
    "carat": 0.16,
    "side": 0.08,
    "grading": 0.04,
    "identification": 0.03,
    "use": 0.05,
    "repair": 0.02,
    "defects": 0.03,
    "month": 0.03,
}
PHOTO_PARTS = {"design": 0.6, "polish": 0.4}
INTERACTION_PARTS = {
    "quality": 0.38,  # of the one stone that the listing names
    "quality x carat": 0.38,
    "quality x kind": 0.10,
    "polish x metal": 0.14,
}

# Correlation of what is drawn with what it shows: the depth of a band and part of a
# stone stay hidden, and scratches follow the degree of use only this often.
SHOWN_HEFT = 0.6
SHOWN_CARAT = 0.6
SHOWN_USE = 0.7


# Knobs that count only where there are titles; without them the fingerprint of a set
# is the one it had before there were any.
TITLE_KNOBS = ("titles", "words", "words_share")


@dataclasses.dataclass(frozen=True)
class RingsConfig(GeneratedConfig):
    """The generated data set `rings`.

    The defaults are a small set; the paper's has 19,176 / 5,350 / 8,016 rings at 512
    pixels. The six switches remove one planted effect each and leave every other
    random draw as it was; so do titles, which are off.
    """

    photo_only: bool = knob(True, "effect: workmanship, which only the photo shows")
    attributes_only: bool = knob(True, "effect: what the attributes alone tell")
    interactions: bool = knob(True, "effect: photo and attributes multiply")
    missing_or_wrong: bool = knob(True, "effect: attributes missing or wrong")
    off_centre: bool = knob(True, "effect: the listed stone is anywhere, not centred")
    median_price: float = knob(440.0, "median price, dollars", low=1.0)
    spread: float = knob(
        0.6, "standard deviation of log price with all effects on", low=0.01, high=3.0
    )
    attributes_share: float = knob(
        0.57, "share of log-price variance: attributes alone", low=0.0, high=1.0
    )
    photo_share: float = knob(
        0.11, "share of log-price variance: photo alone", low=0.0, high=1.0
    )
    interactions_share: float = knob(
        0.28, "share of log-price variance: products of both", low=0.0, high=1.0
    )
    missing_share: float = knob(
        0.04, "how often an attribute is missing", low=0.0, high=1.0
    )
    wrong_share: float = knob(
        0.02, "how often an attribute is another ring's", low=0.0, high=1.0
    )

    titles: bool = knob(False, "a text column, one word of which tells of the price")
    words: bool = knob(True, "effect: the telling word of a title, if there are titles")
    words_share: float = knob(
        0.25,
        "share of log-price variance: the telling word, if there are titles; the other"
        " shares are of the rest",
        low=0.0,
        high=1.0,
    )

    def __post_init__(self):
        super().__post_init__()
        planted = self.attributes_share + self.photo_share + self.interactions_share
        if planted > 1 + 1e-9:  # three decimal shares may round upwards
            raise UserError(
                f"RingsConfig: attributes_share, photo_share and interactions_share"
                f" sum to {planted:g}; lower them to 1 at most (the rest is noise)"
            )

    @property
    def noise_share(self) -> float:
        """Share of log-price variance that nothing explains, titles left aside."""
        planted = self.attributes_share + self.photo_share + self.interactions_share
        return max(0.0, 1.0 - planted)
