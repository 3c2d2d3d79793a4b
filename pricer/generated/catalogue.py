"""What the bazaar sells: classes, categories, brands, materials, and their worth.

Classes and their frequencies follow Han et al., "Vision-based Price Suggestion for
Online Second-hand Items", section 4.1 and Table 1. Everything else is set by hand:
plausible, invented names, and not estimated from any sale. `standardise` turns a worth
into an effect of mean 0 and variance 1 under the shares. Brands, materials and grades
have these within every class, so that they are uncorrelated with the category and the
variance of a log price is the sum of the shares given to the effects.
"""

import numpy as np

from common.data.generated import Categorical, make_categorical, standardise

# Class: (training items of Table 1, log price in CNY, group of materials, kind of
# grade, {category: difference of its log price from the class}).
_CLASSES: dict[str, tuple[int, float, str, str, dict[str, float]]] = {
    "women clothes": (
        *(184_401, 4.6, "textile", "size"),
        {"dress": 0.4, "blouse": -0.2, "skirt": -0.5, "coat": 0.9, "wide trousers": 0},
    ),
    "men clothes": (
        *(38_292, 4.8, "textile", "size"),
        {
            "T-shirt": -0.6,
            "shirt": -0.1,
            "jeans": 0.1,
            "waistcoat": 0.3,
            "shorts": -0.4,
        },
    ),
    "children clothes": (
        *(11_196, 4.0, "textile", "height"),
        {"romper": 0.1, "dungarees": 0.4, "hoodie": 0.2, "mittens": -0.7, "bib": -0.9},
    ),
    "women shoes": (
        *(27_215, 5.0, "shoe", "shoe size"),
        {"high heel": 0.4, "tall boot": 0.8, "ballerina": -0.3, "sandal": -0.5}
        | {"ankle boot": 0.5},
    ),
    "men shoes": (
        *(16_456, 5.3, "shoe", "shoe size"),
        {"trainer": 0.3, "oxford": 0.6, "loafer": 0.1, "work boot": 0.5}
        | {"flip-flop": -1.1},
    ),
    "children shoes": (
        *(31_362, 4.2, "shoe", "shoe size"),
        {"rain boot": -0.2, "strap shoe": 0.1, "high-top": 0.4, "clog": -0.4}
        | {"skate": 0.9},
    ),
    "cosmetic": (
        *(125_684, 4.9, "container", "volume"),
        {"lipstick": -0.1, "perfume": 0.9, "cream jar": 0.4, "lotion": 0.1}
        | {"mascara": -0.4},
    ),
    "phone": (
        *(65_357, 6.9, "device", "storage"),
        {"smartphone": 0.2, "large phone": 0.6, "flip phone": -0.9}
        | {"keypad phone": -1.4, "folding phone": 1.1},
    ),
    "3C product": (
        *(184_861, 6.1, "device", "storage"),
        {"laptop": 1.1, "tablet": 0.6, "camera": 0.9, "headphones": -0.6}
        | {"game controller": -0.8},
    ),
    "household appliance": (
        *(59_221, 5.5, "device", "power"),
        {"kettle": -0.6, "fan": -0.4, "rice cooker": 0.0, "washing machine": 1.3}
        | {"microwave": 0.4},
    ),
    "sports equipment": (
        *(88_055, 5.2, "solid", "level"),
        {"racket": 0.4, "dumbbell": -0.3, "ball": -0.5, "skateboard": 0.2}
        | {"yoga mat": -0.8},
    ),
    "baby product": (
        *(23_330, 4.6, "solid", "age"),
        {"pram": 1.2, "feeding bottle": -0.8, "cot": 0.9, "teddy bear": -0.6}
        | {"rattle": -1.0},
    ),
    "accessories": (
        *(36_984, 5.0, "leather", "width"),
        {"handbag": 0.9, "watch": 1.0, "sunglasses": 0.0, "hat": -0.6, "wallet": 0.1},
    ),
}
# Of the first to the fifth category of every class.
_CATEGORY_SHARES = np.array([0.28, 0.24, 0.20, 0.16, 0.12])

PATTERNS = ("plain", "stripes", "diagonals", "dots", "checks")
# Group: {material: (pattern, relative frequency, worth)}.
_MATERIALS = {
    "textile": {
        "cotton": ("plain", 0.35, 0.0),
        "denim": ("diagonals", 0.25, 0.4),
        "polyester": ("stripes", 0.25, -0.8),
        "wool": ("checks", 0.15, 1.4),
    },
    "shoe": {
        "smooth leather": ("plain", 0.30, 1.0),
        "canvas": ("checks", 0.25, -0.4),
        "mesh": ("dots", 0.25, 0.1),
        "rubber": ("stripes", 0.20, -0.9),
    },
    "container": {
        "glass": ("plain", 0.30, 0.5),
        "plastic": ("stripes", 0.35, -0.9),
        "metal": ("diagonals", 0.20, 0.8),
        "ceramic": ("dots", 0.15, 0.3),
    },
    "device": {
        "plastic": ("stripes", 0.35, -0.9),
        "aluminium": ("plain", 0.30, 0.6),
        "carbon": ("checks", 0.15, 1.2),
        "steel": ("diagonals", 0.20, 0.1),
    },
    "solid": {
        "wood": ("stripes", 0.30, 0.5),
        "foam": ("dots", 0.25, -0.9),
        "steel": ("diagonals", 0.20, 0.3),
        "nylon": ("checks", 0.25, 0.0),
    },
    "leather": {
        "smooth leather": ("plain", 0.30, 0.8),
        "snakeskin": ("checks", 0.15, 1.3),
        "suede": ("dots", 0.25, 0.1),
        "straw": ("diagonals", 0.30, -1.1),
    },
}
# Kind of grade: its four steps, from the cheapest.
_GRADES = {
    "size": ("size S", "size M", "size L", "size XL"),
    "height": ("90 cm", "110 cm", "130 cm", "150 cm"),
    "shoe size": ("narrow", "regular", "wide", "extra wide"),
    "volume": ("30 ml", "50 ml", "100 ml", "200 ml"),
    "storage": ("32 GB", "64 GB", "128 GB", "256 GB"),
    "power": ("400 W", "800 W", "1200 W", "2000 W"),
    "level": ("beginner", "club", "advanced", "professional"),
    "age": ("0-6 months", "6-12 months", "1-2 years", "2-4 years"),
    "width": ("small", "medium", "large", "extra large"),
}
PACK, RECEIPT = "pack of two", "with receipt"
PACK_PRESENT, RECEIPT_PRESENT = 0.2, 0.3

# Brands come in pairs that share a colour and their classes: the first is dear, the
# second as much cheaper. So a colour without the figure tells nothing of the price.
_BRAND_PAIRS = (
    *(("Alvera", "Bonkit"), ("Cessina", "Dobbo"), ("Elmont", "Fipple")),
    *(("Grandis", "Hoppla"), ("Isolde", "Jumbix"), ("Kaldera", "Lumpo")),
    *(("Montrose", "Nippet"), ("Ormond", "Pluffy"), ("Quirin", "Rumbo")),
    *(("Savoire", "Tibbit"), ("Ulverton", "Vixo"), ("Walmere", "Xanny")),
    *(("Ysolde", "Zubbi"), ("Aurelle", "Bimbel"), ("Corvina", "Dazzo")),
    *(("Estrella", "Fuzzit"), ("Galant", "Huddle"), ("Imperia", "Jotto")),
    *(("Kronberg", "Lollo"), ("Marquis", "Noddy")),
)
# How far the two brands of a pair are apart.
_PAIR_GAPS = (1.0, 0.7, 1.3, 0.9, 1.1)
# Class: its pairs; no two of them share a colour.
_CLASS_PAIRS = (
    *((0, 1, 2, 3, 5), (0, 2, 4, 5, 6), (1, 3, 6, 19)),  # clothes
    *((2, 7, 8, 9), (5, 6, 7, 8, 9), (3, 6, 8, 9)),  # shoes
    *((10, 11, 12, 13), (14, 15, 16, 17), (14, 15, 16, 17, 18)),
    *((15, 17, 18, 13), (5, 6, 7, 8), (19, 3, 11, 4), (10, 12, 4, 7)),
)
MARK_COLOURS = (
    *((214, 30, 40), (20, 70, 200), (10, 140, 60), (240, 150, 0), (130, 30, 160)),
    *((0, 160, 170), (230, 60, 150), (110, 70, 20), (20, 20, 20), (140, 170, 0)),
)
FIGURES = (
    *("disc", "ring", "plus", "triangle"),
    *("two rows", "two columns", "slash", "arrow"),
)


COLOUR = make_categorical(
    {
        "white": (0.15, 0.2),
        "black": (0.17, 0.6),
        "grey": (0.12, 0.1),
        "red": (0.11, 0.3),
        "blue": (0.12, 0.0),
        "green": (0.08, -0.6),
        "yellow": (0.06, -1.0),
        "pink": (0.09, -0.2),
        "brown": (0.06, -0.4),
        "purple": (0.04, -0.8),
    }
)
BODY_COLOURS = (
    *((236, 236, 232), (52, 52, 58), (142, 146, 150), (200, 62, 62), (66, 104, 178)),
    *((72, 142, 92), (226, 196, 74), (232, 152, 174), (132, 92, 62), (132, 92, 168)),
)
# Worth of wear: the photo shows it, no column tells it.
CONDITION = make_categorical(
    {
        "as new": (0.25, 1.2),
        "lightly worn": (0.30, 0.4),
        "worn": (0.28, -0.5),
        "damaged": (0.17, -1.6),
    }
)
GRADE_SHARES = np.array([0.25, 0.30, 0.27, 0.18])
GRADE_EFFECTS = standardise(np.arange(4.0), GRADE_SHARES)  # [4]

CLASSES = tuple(_CLASSES)
_counts = np.array([row[0] for row in _CLASSES.values()], float)
CLASS_SHARES = _counts / _counts.sum()  # [13]

# All categories, class after class.
CATEGORY_CLASS = np.repeat(np.arange(len(CLASSES)), len(_CATEGORY_SHARES))  # [65]
_shares = np.outer(CLASS_SHARES, _CATEGORY_SHARES).ravel()
_worth = np.array(
    [row[1] + gap for row in _CLASSES.values() for gap in row[4].values()]
)
CATEGORY = Categorical(
    tuple(name for row in _CLASSES.values() for name in row[4]),
    _shares,
    standardise(_worth, _shares),
)
CATEGORIES_IN_CLASS = len(_CATEGORY_SHARES)

BRANDS = tuple(name for pair in _BRAND_PAIRS for name in pair)
BRAND_COLOUR = np.array(
    [brand // 2 % len(MARK_COLOURS) for brand in range(len(BRANDS))]
)


def _figure(brand: int) -> int:
    """Figures of the brands of one colour differ; dear ones have any figure."""
    pair, second = divmod(brand, 2)
    first_round = pair < len(MARK_COLOURS)
    step = (0 if first_round else 2) + 4 * ((second + pair) % 2)
    return (pair % len(MARK_COLOURS) + step) % len(FIGURES)


BRAND_FIGURE = np.array([_figure(brand) for brand in range(len(BRANDS))])


def _class_brands() -> tuple[np.ndarray, np.ndarray]:
    """Shares and effects of the brands within each class [13, 40] each."""
    shares = np.zeros((len(CLASSES), len(BRANDS)))
    effects = np.zeros_like(shares)
    for index, pairs in enumerate(_CLASS_PAIRS):
        frequencies = 1.0 / (2 + np.arange(len(pairs)))
        frequencies /= 2 * frequencies.sum()
        for pair, frequency in zip(pairs, frequencies, strict=True):
            gap = _PAIR_GAPS[pair % len(_PAIR_GAPS)]
            shares[index, 2 * pair : 2 * pair + 2] = frequency
            effects[index, 2 * pair : 2 * pair + 2] = gap, -gap
        served = shares[index] > 0
        effects[index, served] = standardise(
            effects[index, served], shares[index, served]
        )
    return shares, effects


BRAND_SHARES, BRAND_EFFECTS = _class_brands()

_groups = [_MATERIALS[row[2]] for row in _CLASSES.values()]
MATERIALS = tuple(tuple(group) for group in _groups)  # of each class, four
MATERIAL_PATTERN = np.array(
    [[PATTERNS.index(row[0]) for row in group.values()] for group in _groups]
)  # [13, 4] into PATTERNS
MATERIAL_SHARES = np.array([[row[1] for row in g.values()] for g in _groups])  # [13, 4]
MATERIAL_EFFECTS = np.array(
    [
        standardise(np.array([row[2] for row in group.values()]), shares)
        for group, shares in zip(_groups, MATERIAL_SHARES, strict=True)
    ]
)  # [13, 4]
GRADES = tuple(_GRADES[row[3]] for row in _CLASSES.values())  # of each class, four
