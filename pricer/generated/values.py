"""What a generated item is worth, and what one can know of that from its photo.

With s the spread and w the SHARES of the parameters:

    log price = log median + s (sqrt(w1) category + sqrt(w2) brand + ... + noise)

Every effect has mean 0 and variance 1 (over all items, brand and material within every
class as well; drift if sales were even over the three months), and all are
uncorrelated, so the shares are shares of the variance.
"""

import numpy as np

from pricer.generated import catalogue
from pricer.generated.latents import COVERS, Items, sellers
from pricer.generated.parameters import (
    ATTRIBUTES_PARTS,
    DAYS,
    SHARES,
    SPECIFICATION_PARTS,
    BazaarConfig,
)

LABEL_EFFECTS = ("brand", "attributes", "specification")


def drift_effect(day: np.ndarray) -> np.ndarray:
    """Prices fall evenly with time; standardised over all days."""
    return (DAYS / 2 - day) / (DAYS / np.sqrt(12))


def presence_effect(present: np.ndarray, probability: float) -> np.ndarray:
    """Standardised presence of an extra."""
    return (present - probability) / np.sqrt(probability * (1 - probability))


def weigh(effects: dict[str, np.ndarray], parts: dict[str, float]) -> np.ndarray:
    """Sum of effects, each by the root of its part of the variance [N]."""
    return np.sum([np.sqrt(part) * effects[name] for name, part in parts.items()], 0)


def attribute_effects(items: Items) -> dict[str, np.ndarray]:
    """Effects of colour and material, standardised; [N] each."""
    return {
        "colour": catalogue.COLOUR.effects[items.colour],
        "material": catalogue.MATERIAL_EFFECTS[items.item_class, items.material],
    }


def specification_effects(items: Items) -> dict[str, np.ndarray]:
    """Effects of grade, pack and receipt, standardised; [N] each."""
    return {
        "grade": catalogue.GRADE_EFFECTS[items.grade],
        "pack": presence_effect(items.pack, catalogue.PACK_PRESENT),
        "receipt": presence_effect(items.receipt, catalogue.RECEIPT_PRESENT),
    }


def terms(config: BazaarConfig, items: Items) -> dict[str, np.ndarray]:
    """What each effect adds to the log price; 0 where switched off. [N] each."""
    platform = sellers(config.seed, config.seller_count)
    effects = {
        "category": catalogue.CATEGORY.effects[items.category],
        "brand": catalogue.BRAND_EFFECTS[items.item_class, items.brand],
        "attributes": weigh(attribute_effects(items), ATTRIBUTES_PARTS),
        "specification": weigh(specification_effects(items), SPECIFICATION_PARTS),
        "condition": catalogue.CONDITION.effects[items.condition],
        "seller": platform.effects[items.seller],
        "drift": drift_effect(items.day),
        "noise": items.noise,
    }
    planted = _planted(config)
    return {
        name: config.spread * np.sqrt(share) * planted[name] * effects[name]
        for name, share in SHARES.items()
    }


def _planted(config: BazaarConfig) -> dict[str, bool]:
    """Which effects the switches leave."""
    off = {"seller": config.sellers, "drift": config.drift}
    labels = dict.fromkeys(LABEL_EFFECTS, config.label_effects)
    return dict.fromkeys(SHARES, True) | off | labels


def log_prices(config: BazaarConfig, items: Items) -> np.ndarray:
    """Natural logs of the prices in CNY [N]."""
    return np.log(config.median_price) + np.sum(list(terms(config, items).values()), 0)


def colour_shown(items: Items) -> np.ndarray:
    """Whether the photo shows the item's colour: also from behind or blurred [N]."""
    wrapped = items.looks.cover > COVERS.index("back")
    return ~(items.defects["darkness"] | items.defects["clutter"] | wrapped)


def expected_log_prices(config: BazaarConfig, items: Items) -> np.ndarray:
    """Mean of the log price given photo, category, seller and day [N].

    A readable photo is taken as read: brand, attributes, specification and wear as they
    are. Of the others nothing is seen but the colour (`colour_shown`); the category is
    taken as told by the listing. What is not seen has mean 0.
    """
    parts = terms(config, items)
    seen = parts["category"] + parts["seller"] + parts["drift"]
    for name in (*LABEL_EFFECTS, "condition"):
        seen = seen + items.readable * parts[name]
    colour = attribute_effects(items)["colour"]
    scale = np.sqrt(SHARES["attributes"] * ATTRIBUTES_PARTS["colour"])
    only_colour = colour_shown(items) & ~items.readable & config.label_effects
    return (
        np.log(config.median_price)
        + seen
        + config.spread * scale * only_colour * colour
    )


def expected_squared_errors(config: BazaarConfig, items: Items) -> np.ndarray:
    """Mean squared error of `expected_log_prices`, given what is seen [N].

    It is the variance of what is not seen, the same in every class.
    """
    planted = _planted(config)
    hidden = sum(SHARES[name] * planted[name] for name in (*LABEL_EFFECTS, "condition"))
    colour = SHARES["attributes"] * ATTRIBUTES_PARTS["colour"] * config.label_effects
    unread = ~items.readable * (hidden - colour * colour_shown(items))
    return config.spread**2 * (SHARES["noise"] + unread)


def expected_errors(config: BazaarConfig, items: Items) -> np.ndarray:
    """Mean absolute error of `expected_log_prices`, given what is seen [N].

    Taken for a normal distribution of the same variance: exact for readable items,
    within a few percent for the others, whose error is a sum of several effects.
    """
    return np.sqrt(2 / np.pi * expected_squared_errors(config, items))
