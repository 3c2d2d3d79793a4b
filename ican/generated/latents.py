"""Random draws behind the generated rings, as arrays over many rings at once.

A ring is a function of (seed, number) alone: each has its own counter-based generator
and takes the same count of draws from it, whatever the switches say. So a ring does
not depend on its neighbours, on the number of rings, or on which effects are planted.
"""

import dataclasses

import numpy as np

from common.data import generated
from common.data.generated import ByRow
from ican.generated import catalogue, titles
from ican.generated.parameters import SHOWN_CARAT, SHOWN_HEFT, SHOWN_USE, RingsConfig
from ican.generated.titles import Titles

# The attributes of Table 1, in its order.
ATTRIBUTES = (
    "size",
    "weight",
    "center stone size",
    "side stone size",
    "grading report",
    "identification report",
    "center stone",
    "side stone",
    "metal",
    "degree of use",
    "notices of repair",
    "notices of defects",
    "month of purchase",
)
STONES = 3
# Draws of one ring: facts twice (its own and another's), companions, looks, listing.
_UNIFORMS = 2 * 10 + (len(catalogue.FAMILIES) + 2) + 13 + (2 * len(ATTRIBUTES) + 1)
_NORMALS = 2 * 3 + (1 + STONES) + 1


@dataclasses.dataclass(frozen=True)
class Facts:
    """What attributes speak of, for N rings; integers index the catalogue's tables.

    Attributes:
      size: index into RING_SIZES [N].
      heft: weight beyond what size and metal explain, standard normal [N].
      carat: log carat of the centre stone, standard normal [N].
      side_carat: log carat of the side stones, standard normal [N].
      grading, identification: whether a report comes with the ring [N].
      kind, side_kind: kinds of stone, 0 for none [N].
      metal, use, repair, defects, month: categories [N].
    """

    size: np.ndarray
    heft: np.ndarray
    carat: np.ndarray
    side_carat: np.ndarray
    grading: np.ndarray
    identification: np.ndarray
    kind: np.ndarray
    side_kind: np.ndarray
    metal: np.ndarray
    use: np.ndarray
    repair: np.ndarray
    defects: np.ndarray
    month: np.ndarray


# The attribute that tells each fact.
ATTRIBUTE_OF = {
    "size": "size",
    "heft": "weight",
    "carat": "center stone size",
    "side_carat": "side stone size",
    "grading": "grading report",
    "identification": "identification report",
    "kind": "center stone",
    "side_kind": "side stone",
    "metal": "metal",
    "use": "degree of use",
    "repair": "notices of repair",
    "defects": "notices of defects",
    "month": "month of purchase",
}


@dataclasses.dataclass(frozen=True)
class Appearance(ByRow):
    """What the photo shows of N rings. Stone 0 is the listed centre stone.

    Attributes:
      design: index into DESIGN [N].
      polish: finish of the band, uniform with mean 0 and variance 1 [N].
      scratches: degree of use that the scratches speak of [N].
      thickness: of the band, standard normal [N].
      family: index into FAMILIES, -1 where there is no stone [N, 3].
      quality: vivid or dull, uniform with mean 0 and variance 1 [N, 3].
      diameter: of the stones, standard normal [N, 3].
      place: of each stone along the front of the band: -1, 0 or 1 [N, 3].
      shift: of the middle place from the photo's centre, x and y in sides [N, 2].
      turn: rotation of the ring, radians [N].
    """

    design: np.ndarray
    polish: np.ndarray
    scratches: np.ndarray
    thickness: np.ndarray
    family: np.ndarray
    quality: np.ndarray
    diameter: np.ndarray
    place: np.ndarray
    shift: np.ndarray
    turn: np.ndarray


@dataclasses.dataclass(frozen=True)
class Rings:
    """All about N rings.

    Attributes:
      true: what holds.
      listed: what the listing says; differs where an attribute is wrong.
      missing: {attribute: whether the listing leaves it out [N]}.
      one_size: 1 where the centre stone's carat alone is given, 2 where its inches
        alone are, else 0 [N].
      appearance: what the photo shows.
      noise: what nothing explains, standard normal [N].
      titles: what their titles say.
    """

    true: Facts
    listed: Facts
    missing: dict[str, np.ndarray]
    one_size: np.ndarray
    appearance: Appearance
    noise: np.ndarray
    titles: Titles


class _Draws:
    """Hands out the columns of a block of draws, in order."""

    def __init__(self, uniforms: np.ndarray, normals: np.ndarray):
        self._uniforms = iter(uniforms.T)
        self._normals = iter(normals.T)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        return low + (high - low) * next(self._uniforms)

    def even(self) -> np.ndarray:
        """Uniform with mean 0 and variance 1."""
        return self.uniform(-np.sqrt(3.0), np.sqrt(3.0))

    def normal(self) -> np.ndarray:
        return next(self._normals)

    def category(self, shares: np.ndarray) -> np.ndarray:
        edges = np.cumsum(shares)[:-1]
        return np.searchsorted(edges, self.uniform(), side="right")

    def chance(self, probability: float | np.ndarray) -> np.ndarray:
        return self.uniform() < probability


def sample(config: RingsConfig, numbers: np.ndarray) -> Rings:
    """Draws the rings with the given numbers; a ring is the same in any company.

    Args:
      config: seed, switches and shares.
      numbers: [N] integers.

    Returns:
      The rings, in the order of `numbers`.
    """
    uniforms = np.empty((len(numbers), _UNIFORMS))
    normals = np.empty((len(numbers), _NORMALS))
    for row, number in enumerate(numbers):
        source = generated.generator(config.seed, int(number), stream=0)
        uniforms[row] = source.random(_UNIFORMS)
        normals[row] = source.standard_normal(_NORMALS)
    draws = _Draws(uniforms, normals)
    true = _draw_facts(draws)
    family, true = _draw_companions(draws, true)
    appearance = _draw_appearance(config, draws, true, family)
    other = _draw_facts(draws)
    listed, missing = _draw_listing(config, draws, true, other)
    one = draws.uniform()
    one_size = np.where(one < 0.15, 1, np.where(one < 0.30, 2, 0))
    if not config.missing_or_wrong:
        one_size = np.zeros_like(one_size)
    return Rings(
        true,
        listed,
        missing,
        one_size,
        appearance,
        draws.normal(),
        titles.sample(config.seed, numbers),
    )


def _draw_facts(draws: _Draws) -> Facts:
    """Facts in which every attribute is independent of the others but the reports."""
    kind = draws.category(catalogue.KIND.shares)
    return Facts(
        size=draws.category(catalogue.SIZE.shares),
        heft=draws.normal(),
        carat=draws.normal(),
        side_carat=draws.normal(),
        grading=draws.chance(catalogue.GRADING_PRESENT) & (kind == catalogue.DIAMOND),
        identification=draws.chance(catalogue.IDENTIFICATION_PRESENT) & (kind > 0),
        kind=kind,
        side_kind=draws.category(catalogue.SIDE_SHARES),
        metal=draws.category(catalogue.METAL.shares),
        use=draws.category(catalogue.USE.shares),
        repair=draws.category(catalogue.REPAIR.shares),
        defects=draws.category(catalogue.DEFECT.shares),
        month=draws.category(catalogue.MONTH.shares),
    )


def _draw_companions(draws: _Draws, true: Facts) -> tuple[np.ndarray, Facts]:
    """Two more stones of other families; the first may be the listed side stone.

    Returns:
      Families [N, 3] of centre stone and companions, and the facts with the kind of
      the side stone.
    """
    count = len(catalogue.FAMILIES)
    centre = catalogue.KIND_FAMILY[true.kind]
    ranks = np.stack([draws.uniform() for _ in range(count)], axis=1)  # [N, 9]
    # The centre stone's own family comes last.
    ranks = ranks + (np.arange(count) == centre[:, None])
    order = np.argsort(ranks, axis=1)
    family = np.stack([centre, order[:, 0], order[:, 1]], axis=1)  # [N, 3]
    edges = np.cumsum(catalogue.FAMILY_KINDS, axis=1)[family[:, 1], :-1]  # [N, 36]
    kind = np.sum(draws.uniform()[:, None] >= edges, axis=1)
    present = draws.chance(catalogue.SIDE_PRESENT)
    return family, dataclasses.replace(true, side_kind=np.where(present, kind, 0))


def _blur(draws: _Draws, fact: np.ndarray, correlation: float) -> np.ndarray:
    return correlation * fact + np.sqrt(1 - correlation**2) * draws.normal()


def _draw_appearance(
    config: RingsConfig, draws: _Draws, true: Facts, family: np.ndarray
) -> Appearance:
    """What is drawn; place, shift and turn are zero without `off_centre`."""
    follows, other_use = draws.chance(SHOWN_USE), draws.category(catalogue.USE.shares)
    diameters = [_blur(draws, true.carat, SHOWN_CARAT)]
    diameters += [draws.normal() for _ in range(STONES - 1)]
    order = np.argsort(np.stack([draws.uniform() for _ in range(STONES)], 1), axis=1)
    place = order - 1  # a random permutation of -1, 0, 1
    shift = np.stack([draws.uniform(-0.09, 0.09), draws.uniform(-0.02, 0.14)], axis=1)
    turn = draws.uniform(-0.5, 0.5)
    if not config.off_centre:
        place = np.broadcast_to(np.array([0, -1, 1]), place.shape)
        shift, turn = np.zeros_like(shift), np.zeros_like(turn)
    return Appearance(
        design=draws.category(catalogue.DESIGN.shares),
        polish=draws.even(),
        scratches=np.where(follows, true.use, other_use),
        thickness=_blur(draws, true.heft, SHOWN_HEFT),
        family=family,
        quality=np.stack([draws.even() for _ in range(STONES)], axis=1),
        diameter=np.stack(diameters, axis=1),
        place=place,
        shift=shift,
        turn=turn,
    )


def _draw_listing(
    config: RingsConfig, draws: _Draws, true: Facts, other: Facts
) -> tuple[Facts, dict[str, np.ndarray]]:
    """The listing: `true`, with some attributes those of another ring or left out."""
    wrong_share = config.wrong_share if config.missing_or_wrong else 0.0
    missing_share = config.missing_share if config.missing_or_wrong else 0.0
    listed, missing = {}, {}
    for fact, attribute in ATTRIBUTE_OF.items():
        wrong = draws.chance(wrong_share)
        listed[fact] = np.where(wrong, getattr(other, fact), getattr(true, fact))
        missing[attribute] = draws.chance(missing_share)
    # The shop itself notes the month.
    listed["month"] = true.month
    missing["month of purchase"] = np.zeros_like(missing["month of purchase"])
    return Facts(**listed), missing
