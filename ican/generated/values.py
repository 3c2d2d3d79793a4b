"""What a generated ring is worth, and what one can know of that from each side.

With s the spread and a, p, i, n the shares of attributes, photo, interactions, noise:

    R = sqrt(a) A + sqrt(p) P + sqrt(i) I + sqrt(n) noise
    log price = log median + s R, or with titles, whose share is w,
    log price = log median + s (sqrt(1 - w) R + sqrt(w) W)

A, P and I are sums of uncorrelated effects of mean 0 and variance 1, each weighed by
the root of its part, so A, P and I have variance 1 and the shares are shares of the
variance. I holds products of what only the photo shows with what the listing tells,
and the "quality" terms take the quality of the one stone of three that the listing
names as the centre stone: which one that is, the photo doesn't show. W is the worth of
the telling word, of mean 0 and variance 1.
"""

import numpy as np

from ican.generated import catalogue
from ican.generated.latents import Facts, Rings
from ican.generated.parameters import (
    ATTRIBUTES_PARTS,
    INTERACTION_PARTS,
    PHOTO_PARTS,
    RingsConfig,
)

_SIDE_SPREAD = 0.5  # how far log carat of side stones moves their worth
# Facts that are categories with one effect.
TABLES = {
    "size": catalogue.SIZE,
    "metal": catalogue.METAL,
    "use": catalogue.USE,
    "repair": catalogue.REPAIR,
    "defects": catalogue.DEFECT,
    "month": catalogue.MONTH,
}


def side_effect(present: np.ndarray, carat: np.ndarray) -> np.ndarray:
    """Standardised present (1 + spread carat); linear in `carat` and `present`."""
    p = catalogue.SIDE_PRESENT
    worth = present * (1 + _SIDE_SPREAD * carat) - p
    return worth / np.sqrt(p * (1 + _SIDE_SPREAD**2) - p**2)


def _report_effect(
    present: np.ndarray, eligible: np.ndarray, probability: float, share: float
) -> np.ndarray:
    """Standardised presence of a report among the eligible, who are `share` of all."""
    scale = np.sqrt(share * probability * (1 - probability))
    return eligible * (present - probability) / scale


def grading_effect(present: np.ndarray, diamond: np.ndarray) -> np.ndarray:
    """Effect of a grading report, which only diamonds have."""
    share = catalogue.KIND.shares[catalogue.DIAMOND]
    return _report_effect(present, diamond, catalogue.GRADING_PRESENT, share)


def identification_effect(present: np.ndarray, stone: np.ndarray) -> np.ndarray:
    """Effect of an identification report, which only stones have."""
    share = catalogue.STONE_SHARE
    return _report_effect(present, stone, catalogue.IDENTIFICATION_PRESENT, share)


def attribute_effects(facts: Facts) -> dict[str, np.ndarray]:
    """Effects that the attributes alone tell; each [N], of mean 0 and variance 1."""
    stone = facts.kind > 0
    effects = {
        name: table.effects[getattr(facts, name)] for name, table in TABLES.items()
    }
    return effects | {
        "heft": facts.heft,
        "kind": catalogue.KIND.effects[facts.kind],
        "carat": stone * facts.carat / np.sqrt(catalogue.STONE_SHARE),
        "side": side_effect(facts.side_kind > 0, facts.side_carat),
        "grading": grading_effect(facts.grading, facts.kind == catalogue.DIAMOND),
        "identification": identification_effect(facts.identification, stone),
    }


def photo_effects(rings: Rings) -> dict[str, np.ndarray]:
    """Effects that the photo alone shows; each [N], of mean 0 and variance 1."""
    looks = rings.appearance
    return {"design": catalogue.DESIGN.effects[looks.design], "polish": looks.polish}


def interaction_effects(rings: Rings) -> dict[str, np.ndarray]:
    """Products of photo and attributes; each [N], of mean 0 and variance 1."""
    true, looks = rings.true, rings.appearance
    quality = (true.kind > 0) * looks.quality[:, 0] / np.sqrt(catalogue.STONE_SHARE)
    return {
        "quality": quality,
        "quality x carat": quality * true.carat,
        "quality x kind": quality * catalogue.KIND_LEANING[true.kind],
        "polish x metal": looks.polish * catalogue.METAL.effects[true.metal],
    }


def weigh(effects: dict[str, np.ndarray], parts: dict[str, float]) -> np.ndarray:
    """Sum of effects, each by the root of its part of the variance [N]."""
    return sum(np.sqrt(part) * effects[name] for name, part in parts.items())


def log_prices(config: RingsConfig, rings: Rings) -> np.ndarray:
    """Natural logs of the prices in dollars [N]."""
    terms = np.sqrt(config.noise_share) * rings.noise
    if config.attributes_only:
        worth = weigh(attribute_effects(rings.true), ATTRIBUTES_PARTS)
        terms = terms + np.sqrt(config.attributes_share) * worth
    if config.photo_only:
        worth = weigh(photo_effects(rings), PHOTO_PARTS)
        terms = terms + np.sqrt(config.photo_share) * worth
    if config.interactions:
        worth = weigh(interaction_effects(rings), INTERACTION_PARTS)
        terms = terms + np.sqrt(config.interactions_share) * worth
    if config.titles:
        terms = np.sqrt(1 - config.words_share) * terms
        if config.words:
            worth = catalogue.TELLING.effects[rings.titles.telling]
            terms = terms + np.sqrt(config.words_share) * worth
    return np.log(config.median_price) + config.spread * terms
