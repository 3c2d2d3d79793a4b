"""Parameters of the generated bazaar: sizes, switches and how much each effect weighs.

They are fixed before any training on the bazaar. Whoever changes what a (seed, number)
yields, here or in another module of this folder, raises GENERATOR_VERSION.
"""

import dataclasses

from common.config.configs import knob
from common.data.generated import SPLIT_STEP, GeneratedConfig

GENERATOR_VERSION = 1

# Sales run over three months; the splits follow one another, about as long as the
# paper's are large.
FIRST_DAY = "2020-06-01"
DAYS = 92.0
SPLIT_DAYS = {"train": (0.0, 81.0), "validation": (81.0, 83.5), "test": (83.5, DAYS)}

# Shares of the variance of log price; they sum to 1.
SHARES = {
    "category": 0.415,  # class and category
    "brand": 0.20,
    "attributes": 0.06,
    "specification": 0.11,
    "condition": 0.06,  # wear, which only the photo shows
    "seller": 0.09,
    "drift": 0.005,
    "noise": 0.06,  # what nothing explains
}
# How an effect of several parts divides its share; each sums to 1.
ATTRIBUTES_PARTS = {"colour": 0.25, "material": 0.75}
SPECIFICATION_PARTS = {"grade": 0.65, "pack": 0.20, "receipt": 0.15}

DEFECTS = ("blur", "darkness", "clutter", "missing_information")
# Least and largest carelessness of a seller, before it is scaled to a mean of 1 over
# the items: with a defect's share p, a seller's photos have it 1 - (1 - p)^carelessness
# of the time.
CARELESSNESS = (0.3, 2.0)


@dataclasses.dataclass(frozen=True)
class BazaarConfig(GeneratedConfig):
    """The generated data set `bazaar`.

    The defaults are a small set; the paper's has 892,414 / 26,451 / 97,580 items. The
    seven switches remove one planted effect each and leave every other random draw as
    it was.
    """

    train_count: int = knob(3000, "rows to train on", low=1, high=SPLIT_STEP)
    pixels: int = knob(64, "side of the square photo, pixels", low=16, high=1024)
    blur: bool = knob(True, "defect: photos out of focus")
    darkness: bool = knob(True, "defect: photos in the dark or in uneven light")
    clutter: bool = knob(True, "defect: a small item, half hidden among others")
    missing_information: bool = knob(True, "defect: item from behind, bagged or boxed")
    sellers: bool = knob(True, "effect: each seller's price level")
    label_effects: bool = knob(
        True, "effect: price depends on brand, attributes and specification"
    )
    drift: bool = knob(True, "effect: prices fall over the three months")
    blur_share: float = knob(0.12, "how often photos are blurred", low=0.0, high=1.0)
    darkness_share: float = knob(0.12, "how often photos are dark", low=0.0, high=1.0)
    clutter_share: float = knob(
        0.12, "how often photos are cluttered", low=0.0, high=1.0
    )
    missing_information_share: float = knob(
        0.12, "how often photos hide what counts", low=0.0, high=1.0
    )
    category_missing: float = knob(
        0.05, "how often the category is not listed", low=0.0, high=1.0
    )
    category_wrong: float = knob(
        0.03, "how often another category of the class is listed", low=0.0, high=1.0
    )
    brand_missing: float = knob(
        0.35, "how often the brand is not listed", low=0.0, high=1.0
    )
    attributes_missing: float = knob(
        0.25, "how often the attributes are not listed", low=0.0, high=1.0
    )
    specification_missing: float = knob(
        0.40, "how often the specification is not listed", low=0.0, high=1.0
    )
    seller_count: int = knob(400, "sellers on the platform", low=2, high=1_000_000)
    median_price: float = knob(180.0, "median price, CNY", low=1.0)
    spread: float = knob(
        1.15, "standard deviation of log price with all effects on", low=0.01, high=3.0
    )
