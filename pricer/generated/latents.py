"""Random draws behind the generated bazaar, as arrays over many items at once.

An item is a function of (seed, number) alone: each has its own counter-based generator
and takes the same count of draws from it, whatever the switches say. So an item does
not depend on its neighbours, on the number of items, or on which effects are planted.
"""

import dataclasses
import functools

import numpy as np

from common.data import generated
from common.data.generated import SPLIT_STEP, SPLITS, ByRow
from pricer.generated import catalogue
from pricer.generated.parameters import (
    CARELESSNESS,
    DEFECTS,
    SPLIT_DAYS,
    BazaarConfig,
)

_UNIFORMS = 10 + 6 + 2 * len(DEFECTS) + 5
# Its own number, above those of all items.
_SELLERS_NUMBER = 2**40
# What an unreadable photo hides the item with; 0 for nothing.
COVERS = ("none", "back", "bag", "box")


@dataclasses.dataclass(frozen=True)
class Looks(ByRow):
    """How N photos were taken.

    Attributes:
      blur: standard deviation of the blur in sides of the photo [N].
      light: brightness at the item, 1 for good light [N].
      lamp: brightness of a lamp that shines beside the item, 0 for none [N].
      size: of the item in sides of the photo [N].
      others: number of other things [N].
      cover: index into COVERS [N].
    """

    blur: np.ndarray
    light: np.ndarray
    lamp: np.ndarray
    size: np.ndarray
    others: np.ndarray
    cover: np.ndarray


@dataclasses.dataclass(frozen=True)
class Items:
    """All about N items; integers index the catalogue's tables.

    Attributes:
      category: index into CATEGORY [N].
      brand: index into BRANDS [N].
      colour: index into COLOUR [N].
      material: index into the four MATERIALS of the class [N].
      grade: index into the four GRADES of the class [N].
      pack, receipt: whether two are sold, whether a receipt comes along [N].
      condition: index into CONDITION [N].
      seller: index into the sellers [N].
      day: of the sale, days after the first [N].
      noise: what nothing explains, standard normal [N].
      listed_category: as the listing says; differs where it is wrong [N].
      missing: {column: whether the listing leaves it out [N]}.
      defects: {defect: whether the photo has it [N]}.
      looks: how the photos were taken.
    """

    category: np.ndarray
    brand: np.ndarray
    colour: np.ndarray
    material: np.ndarray
    grade: np.ndarray
    pack: np.ndarray
    receipt: np.ndarray
    condition: np.ndarray
    seller: np.ndarray
    day: np.ndarray
    noise: np.ndarray
    listed_category: np.ndarray
    missing: dict[str, np.ndarray]
    defects: dict[str, np.ndarray]
    looks: Looks

    @property
    def item_class(self) -> np.ndarray:
        """Index into CLASSES [N]."""
        return catalogue.CATEGORY_CLASS[self.category]

    @property
    def readable(self) -> np.ndarray:
        """Whether the photo has no defect [N]."""
        return ~np.any(list(self.defects.values()), axis=0)


@dataclasses.dataclass(frozen=True)
class Sellers:
    """The sellers of a platform, most active first.

    Attributes:
      shares: of the items [K].
      effects: on log price; mean 0 and variance 1 under `shares` [K].
      carelessness: power by which good photos get rarer; mean 1 under `shares` [K].
    """

    shares: np.ndarray
    effects: np.ndarray
    carelessness: np.ndarray


@functools.lru_cache(maxsize=8)
def sellers(seed: int, count: int) -> Sellers:
    """Draws the sellers; how many items each sells falls with rank ** -0.8."""
    source = generated.generator(seed, _SELLERS_NUMBER, stream=0)
    draws = source.random((count, 2))
    shares = (1.0 + np.arange(count)) ** -0.8
    shares /= shares.sum()
    # Uniform, so that no single large seller outweighs the rest.
    effects = generated.standardise(draws[:, 0], shares)
    low, high = CARELESSNESS
    carelessness = low + (high - low) * draws[:, 1]
    return Sellers(shares, effects, carelessness / np.sum(carelessness * shares))


class _Draws:
    """Hands out the columns of a block of draws, in order."""

    def __init__(self, uniforms: np.ndarray):
        self._columns = iter(uniforms.T)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        return low + (high - low) * next(self._columns)

    def category(self, shares: np.ndarray) -> np.ndarray:
        edges = np.cumsum(shares)[:-1]
        return np.searchsorted(edges, self.uniform(), side="right")

    def category_by_row(self, shares: np.ndarray) -> np.ndarray:
        """Where each item has shares of its own [N, K]."""
        below = self.uniform()[:, None] >= np.cumsum(shares, axis=1)[:, :-1]
        return np.sum(below, axis=1)

    def chance(self, probability: float | np.ndarray) -> np.ndarray:
        return self.uniform() < probability


def sample(config: BazaarConfig, numbers: np.ndarray) -> Items:
    """Draws the items with the given numbers; an item is the same in any company.

    Args:
      config: seed, switches and shares.
      numbers: [N] integers.

    Returns:
      The items, in the order of `numbers`.
    """
    uniforms = np.empty((len(numbers), _UNIFORMS))
    noise = np.empty(len(numbers))
    for row, number in enumerate(numbers):
        source = generated.generator(config.seed, int(number), stream=0)
        uniforms[row] = source.random(_UNIFORMS)
        noise[row] = source.standard_normal()
    draws = _Draws(uniforms)
    platform = sellers(config.seed, config.seller_count)
    category = draws.category(catalogue.CATEGORY.shares)
    item_class = catalogue.CATEGORY_CLASS[category]
    facts = {
        "category": category,
        "brand": draws.category_by_row(catalogue.BRAND_SHARES[item_class]),
        "colour": draws.category(catalogue.COLOUR.shares),
        "material": draws.category_by_row(catalogue.MATERIAL_SHARES[item_class]),
        "grade": draws.category(catalogue.GRADE_SHARES),
        "pack": draws.chance(catalogue.PACK_PRESENT),
        "receipt": draws.chance(catalogue.RECEIPT_PRESENT),
        "condition": draws.category(catalogue.CONDITION.shares),
        "seller": draws.category(platform.shares),
        "day": _days(numbers, draws.uniform()),
    }
    listed_category, missing = _draw_listing(config, draws, category)
    defects = {}
    for name in DEFECTS:
        share = getattr(config, f"{name}_share")
        # A power, so that a share of 1 means all photos.
        chosen = draws.chance(1 - (1 - share) ** platform.carelessness[facts["seller"]])
        defects[name] = chosen & getattr(config, name)
    return Items(
        **facts,
        noise=noise,
        listed_category=listed_category,
        missing=missing,
        defects=defects,
        looks=_draw_looks(draws, defects),
    )


def _days(numbers: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Days of sale: anywhere in the time of the split that the number belongs to."""
    spans = np.array([SPLIT_DAYS[split] for split in SPLITS])  # [3, 2]
    first, last = spans[np.asarray(numbers) // SPLIT_STEP].T
    return first + (last - first) * share


def _draw_listing(
    config: BazaarConfig, draws: _Draws, category: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The category as listed, and which columns the seller leaves out."""
    count = catalogue.CATEGORIES_IN_CLASS
    wrong = draws.chance(config.category_wrong)
    first = category - category % count
    step = 1 + (draws.uniform() * (count - 1)).astype(int)
    other = first + (category - first + step) % count
    names = ("category", "brand", "attributes", "specification")
    missing = {name: draws.chance(getattr(config, f"{name}_missing")) for name in names}
    return np.where(wrong, other, category), missing


def _draw_looks(draws: _Draws, defects: dict[str, np.ndarray]) -> Looks:
    """Harmless looks, and bad ones where there is a defect."""
    blur, light, size, others, lamp = (draws.uniform() for _ in range(5))
    bad_blur, bad_light, bad_size, bad_cover = (draws.uniform() for _ in range(4))
    dark, clutter = defects["darkness"], defects["clutter"]
    return Looks(
        blur=np.where(defects["blur"], 0.07 + 0.03 * bad_blur, 0.009 * blur),
        light=np.where(dark, 0.035 + 0.05 * bad_light, 0.70 + 0.4 * light),
        lamp=np.where(dark & (lamp < 0.7), 0.5 + lamp, 0.0),
        size=np.where(clutter, 0.24 + 0.08 * bad_size, 0.70 + 0.14 * size),
        others=np.where(clutter, 11 + 4 * others, 4 * others).astype(int),
        cover=np.where(
            defects["missing_information"], 1 + (3 * bad_cover).astype(int), 0
        ),
    )
