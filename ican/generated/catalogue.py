"""What the generated rings are made of: stones, metals, finishes and their worth.

Categories and their counts follow Yamaura et al., "The Resale Price Prediction of
Secondhand Jewelry Items", Table 1. Names and shares of the 36 stones and the worth of
everything are set by hand: plausible, and not estimated from any sale. `standardise`
turns a worth into an effect of mean 0 and variance 1 under the shares, so that the
variance of a price is the sum of the shares given to the effects.
"""

import numpy as np

from common.data.generated import Categorical, make_categorical, standardise

MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
REPORT = ("absent", "present")


# Worth: log price of an ounce.
METAL = make_categorical(
    {
        "10K yellow gold": (0.06, 6.6),
        "14K yellow gold": (0.09, 6.9),
        "18K yellow gold": (0.20, 7.2),
        "24K yellow gold": (0.03, 7.5),
        "10K white gold": (0.04, 6.6),
        "14K white gold": (0.06, 6.9),
        "18K white gold": (0.14, 7.2),
        "18K pink gold": (0.07, 7.2),
        "platinum 850": (0.06, 7.5),
        "platinum 900": (0.20, 7.6),
        "silver 925": (0.05, 5.4),
    }
)
METAL_COLOURS = ("yellow", "white", "pink", "silver")
METAL_COLOUR = np.array([0, 0, 0, 0, 1, 1, 1, 2, 1, 1, 3])  # [11] into METAL_COLOURS
# Relative to 18K yellow gold: how much heavier the same band is.
METAL_DENSITY = np.array(
    [0.75, 0.84, 1.0, 1.25, 0.76, 0.86, 1.02, 0.97, 1.30, 1.37, 0.67]
)

# US ring sizes 3 to 13 in halves, most of them near 6.5; a larger band is heavier.
RING_SIZES = np.arange(3.0, 13.5, 0.5)
_SIZE_SHARES = np.exp(-0.5 * ((RING_SIZES - 6.5) / 1.8) ** 2)
_SIZE_SHARES /= _SIZE_SHARES.sum()
CIRCUMFERENCES = 36.5 + 2.55 * RING_SIZES  # millimetres
SIZE = Categorical(
    tuple(f"{size:g}" for size in RING_SIZES),
    _SIZE_SHARES,
    standardise(np.log(CIRCUMFERENCES), _SIZE_SHARES),
)

USE = make_categorical(
    {
        "brand-new": (0.10, 1.0),
        "unused": (0.15, 0.7),
        "used": (0.55, 0.0),
        "well used": (0.20, -0.9),
    }
)
REPAIR = make_categorical(
    {
        "none": (0.62, 0.0),
        "resized": (0.14, -0.1),
        "re-plated": (0.06, -0.4),
        "soldered": (0.05, -0.9),
        "non-resizable": (0.09, -0.6),
        "non-adjustable": (0.04, -0.7),
    }
)
DEFECT = make_categorical(
    {
        "none": (0.52, 0.0),
        "scratches": (0.25, -0.3),
        "flaws": (0.08, -0.8),
        "inclusions": (0.08, -0.6),
        "chips": (0.04, -1.4),
        "bent": (0.03, -1.0),
    }
)
# Dearer before the year's end and in June, cheaper after the holidays.
_SEASON = (-0.7, -0.3, -0.1, 0.0, 0.2, 0.5, -0.2, -0.6, -0.2, 0.1, 0.6, 1.0)
MONTH = make_categorical(
    {month: (1.0, worth) for month, worth in zip(MONTHS, _SEASON, strict=True)}
)

# Seen in the photo only: how the band is worked.
DESIGN = make_categorical(
    {
        "plain": (0.30, 0.0),
        "twisted": (0.20, 0.5),
        "engraved": (0.20, 1.0),
        "beaded": (0.15, 1.4),
        "openwork": (0.15, 2.0),
    }
)

# Told by the title only: where the ring comes from.
TELLING = make_categorical(
    {
        "couture": (0.06, 1.7),
        "signed": (0.08, 1.3),
        "antique": (0.09, 1.0),
        "bespoke": (0.08, 0.7),
        "heirloom": (0.09, 0.4),
        "estate": (0.10, 0.1),
        "unworn": (0.10, -0.1),
        "modern": (0.10, -0.4),
        "unmarked": (0.09, -0.7),
        "catalogue": (0.08, -0.9),
        "souvenir": (0.07, -1.3),
        "costume": (0.06, -1.7),
    }
)
# Words of titles that tell nothing.
FILLERS = (
    *("adorable", "all", "beautiful", "best", "birthday", "bridal", "charming"),
    *("classic", "cocktail", "comfort", "cute", "dainty", "daily", "elegant", "ever"),
    *("evening", "fashion", "fine", "fit", "for", "free", "friend", "gift", "girl"),
    *("gorgeous", "her", "holiday", "in", "jewelry", "ladies", "look", "lovely"),
    *("lucky", "mother", "my", "new", "nice", "of", "offer", "original", "party"),
    *("perfect", "pretty", "promise", "quick", "rare", "ring", "romantic", "sale"),
    *("shipping", "shop", "size", "special", "statement", "style", "sweet", "top"),
    *("unique", "very", "wear", "wedding", "with", "women", "wow"),
)

FAMILIES = (
    "white",
    "milky",
    "red",
    "pink",
    "yellow",
    "green",
    "cyan",
    "blue",
    "purple",
)
NO_STONE = "none"
# Kind: (family by its look, frequency, log price of a carat, how much its price
# depends on the quality one sees).
_KINDS = {
    "diamond": ("white", 0.280, 8.0, 1.0),
    "zircon": ("white", 0.012, 5.6, 0.6),
    "rock crystal": ("white", 0.008, 4.4, 0.2),
    "pearl": ("milky", 0.085, 6.0, 0.3),
    "opal": ("milky", 0.045, 6.2, 0.8),
    "moonstone": ("milky", 0.020, 5.0, 0.2),
    "mother of pearl": ("milky", 0.006, 4.3, 0.0),
    "ruby": ("red", 0.090, 7.6, 1.0),
    "garnet": ("red", 0.035, 5.3, 0.4),
    "spinel": ("red", 0.012, 6.6, 0.8),
    "carnelian": ("red", 0.006, 4.4, 0.0),
    "tourmaline": ("pink", 0.020, 6.1, 0.6),
    "morganite": ("pink", 0.014, 5.9, 0.5),
    "coral": ("pink", 0.020, 5.6, 0.2),
    "kunzite": ("pink", 0.008, 5.4, 0.4),
    "rose quartz": ("pink", 0.006, 4.3, 0.0),
    "citrine": ("yellow", 0.025, 4.9, 0.3),
    "amber": ("yellow", 0.010, 4.7, 0.1),
    "heliodor": ("yellow", 0.004, 5.2, 0.4),
    "sunstone": ("yellow", 0.005, 5.0, 0.3),
    "emerald": ("green", 0.070, 7.5, 1.0),
    "peridot": ("green", 0.018, 5.4, 0.4),
    "jade": ("green", 0.022, 6.2, 0.7),
    "tsavorite": ("green", 0.006, 6.8, 0.8),
    "malachite": ("green", 0.004, 4.3, 0.0),
    "topaz": ("cyan", 0.040, 5.1, 0.3),
    "aquamarine": ("cyan", 0.030, 6.0, 0.6),
    "turquoise": ("cyan", 0.014, 5.0, 0.3),
    "apatite": ("cyan", 0.004, 5.1, 0.3),
    "sapphire": ("blue", 0.100, 7.4, 1.0),
    "tanzanite": ("blue", 0.022, 6.7, 0.8),
    "iolite": ("blue", 0.008, 4.9, 0.2),
    "lapis lazuli": ("blue", 0.008, 4.5, 0.1),
    "amethyst": ("purple", 0.040, 4.9, 0.3),
    "charoite": ("purple", 0.004, 4.6, 0.1),
    "sugilite": ("purple", 0.004, 5.2, 0.2),
}
_NO_STONE_SHARE = 0.03

_frequencies = np.array([row[1] for row in _KINDS.values()])
_shares = np.append(
    _NO_STONE_SHARE, (1 - _NO_STONE_SHARE) * _frequencies / sum(_frequencies)
)
_worth = np.array([4.0, *(row[2] for row in _KINDS.values())])
# Centre stone; category 0 is a ring without one.
KIND = Categorical((NO_STONE, *_KINDS), _shares, standardise(_worth, _shares))
KIND_FAMILY = np.array([-1, *(FAMILIES.index(row[0]) for row in _KINDS.values())])
DIAMOND = KIND.names.index("diamond")

_dependence = np.array([0.0, *(row[3] for row in _KINDS.values())])
# How much a kind's price leans on visible quality: mean 0, variance 1 over the rings
# that have a stone. [37]
KIND_LEANING = np.append(
    0.0, standardise(_dependence[1:], _shares[1:] / _shares[1:].sum())
)
STONE_SHARE = 1 - _NO_STONE_SHARE

# P(kind | family) [9, 37], and side stones: half the rings list none.
FAMILY_KINDS = np.where(
    KIND_FAMILY == np.arange(len(FAMILIES))[:, None], KIND.shares, 0.0
)
FAMILY_SHARES = FAMILY_KINDS.sum(axis=1) / STONE_SHARE  # [9]
FAMILY_KINDS = FAMILY_KINDS / FAMILY_KINDS.sum(axis=1, keepdims=True)
SIDE_PRESENT = 0.5
# Companions are of another family than the centre stone, all others being equal.
_companion = (1 - FAMILY_SHARES) / (len(FAMILIES) - 1) * STONE_SHARE + (
    1 - STONE_SHARE
) / len(FAMILIES)
SIDE_SHARES = SIDE_PRESENT * _companion @ FAMILY_KINDS  # [37]
SIDE_SHARES[0] = 1 - SIDE_PRESENT

# Reports: a grading report is for diamonds only (Table 1).
GRADING_PRESENT = 0.5
IDENTIFICATION_PRESENT = 0.3
