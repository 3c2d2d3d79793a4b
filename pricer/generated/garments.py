"""Outlines of clothes and shoes: category: its parts, those further back first."""

from pricer.generated.outlines import (
    LIGHT,
    SHADE,
    Part,
    Point,
    box,
    even,
    oval,
    ring,
    shape,
)


def _top(hem: float, flare: float, sleeve: str, waist: float = 0.24) -> Part:
    """A garment for the upper body: "no", "short" or "long" sleeves."""
    sleeves: dict[str, tuple[Point, ...]] = {
        "no": ((0.22, -0.46), (0.2, -0.2)),
        "short": ((0.26, -0.42), (0.48, -0.2), (0.38, -0.06), (0.25, -0.18)),
        "long": ((0.26, -0.42), (0.36, -0.3), (0.5, 0.22), (0.38, 0.27), (0.24, -0.1)),
    }
    neck = ((0.0, -0.38), (0.1, -0.46))
    return even(*neck, *sleeves[sleeve], (waist, 0.05), (flare, hem))


def _legs(width: float, hem: float, bottom: float, crotch: float = -0.12) -> Part:
    """Trousers."""
    top = ((0.0, -0.48), (0.22, -0.48), (0.25, -0.2))
    return even(*top, (width, bottom), (width - hem, bottom), (0.0, crotch))


def _shoe(shaft: float, heel: float, toe: float, sole: str = "black") -> list[Part]:
    """A shoe from the side, its toe to the right.

    Args:
      shaft: height of its top above the ground.
      heel: height of the heel.
      toe: how round the toe is, 0 pointed to 1.
      sole: tone of the sole.
    """
    top, ground = 0.34 - shaft, 0.34
    instep = max(top, -0.02)
    upper = shape(
        *((-0.42, top), (-0.08, top), (-0.04, instep), (0.12, 0.06)),
        *((0.34, 0.14 - 0.06 * toe), (0.48, 0.22 - 0.06 * toe)),
        *((0.48 + 0.02 * toe, 0.3), (0.45, ground), (0.05, ground)),
        *((-0.2, ground - heel), (-0.44, ground - heel)),
    )
    under = shape(
        *((-0.45, ground - heel), (-0.2, ground - heel), (0.05, ground - 0.03)),
        *((0.48, ground - 0.04), (0.48, ground + 0.06), (0.0, ground + 0.06)),
        *((-0.26, ground - heel + 0.08), (-0.32, ground + 0.06)),
        *((-0.44, ground + 0.06),),
        tone=sole,
    )
    return [upper, under]


CLOTHES: dict[str, list[Part]] = {
    "dress": [_top(0.5, 0.46, "no", 0.14)],
    "blouse": [_top(0.3, 0.36, "short", 0.2), oval(0, -0.42, 0.14, 0.07, SHADE)],
    "skirt": [even((0.2, -0.4), (0.48, 0.42)), box(-0.2, -0.46, 0.2, -0.36, SHADE)],
    "coat": [
        _top(0.5, 0.34, "long"),
        shape((-0.02, -0.38), (0.02, -0.38), (0.02, 0.5), (-0.02, 0.5), tone="black"),
        even((0.0, -0.2), (0.2, -0.46), (0.1, -0.48), tone=SHADE),
    ],
    "wide trousers": [
        _legs(0.48, 0.42, 0.5, 0.1),
        box(-0.22, -0.5, 0.22, -0.42, SHADE),
    ],
    "T-shirt": [_top(0.46, 0.26, "short", 0.25)],
    "shirt": [
        _top(0.48, 0.25, "long"),
        even((0.0, -0.3), (0.13, -0.38), (0.1, -0.5), tone="pale"),
        *[oval(0, y, 0.02, 0.02, "black") for y in (-0.22, 0.14, 0.42)],
    ],
    "jeans": [
        _legs(0.27, 0.19, 0.5),
        box(-0.22, -0.5, 0.22, -0.43, SHADE),
        box(0.09, 0.42, 0.27, 0.5, SHADE),
        box(-0.27, 0.42, -0.09, 0.5, SHADE),
    ],
    "waistcoat": [
        even(
            *((0.0, -0.05), (0.1, -0.46), (0.24, -0.46), (0.2, -0.2)),
            *((0.28, -0.05), (0.28, 0.3), (0.12, 0.46), (0.0, 0.34)),
        ),
        *[oval(0, y, 0.022, 0.022, "black") for y in (0.02, 0.3)],
    ],
    "shorts": [_legs(0.42, 0.36, 0.24, -0.02), box(-0.22, -0.5, 0.22, -0.42, SHADE)],
    "romper": [
        even(
            *((0.0, -0.4), (0.1, -0.46), (0.26, -0.42), (0.46, -0.24), (0.38, -0.12)),
            *((0.25, -0.2), (0.27, 0.2), (0.42, 0.38), (0.24, 0.48), (0.0, 0.32)),
        )
    ],
    "dungarees": [
        _legs(0.34, 0.27, 0.5, 0.16),
        box(-0.2, -0.34, 0.2, 0.0),
        box(-0.2, -0.5, -0.12, -0.3, SHADE),
        box(0.12, -0.5, 0.2, -0.3, SHADE),
    ],
    "hoodie": [
        _top(0.42, 0.27, "long", 0.27),
        oval(0, -0.38, 0.22, 0.14, SHADE),
        oval(0, -0.36, 0.12, 0.09, "black"),
    ],
    "mittens": [
        *[
            part
            for x, side in ((-0.25, 1), (0.25, -1))
            for part in (
                oval(x, -0.08, 0.17, 0.34),
                oval(x + side * 0.17, 0.06, 0.07, 0.15),
                box(x - 0.16, 0.24, x + 0.16, 0.44, SHADE),
            )
        ]
    ],
    "bib": [oval(0, 0.1, 0.38, 0.38), ring(0, -0.24, 0.24, 0.14, SHADE)],
}
SHOES: dict[str, list[Part]] = {
    "high heel": [
        shape(
            *((-0.46, -0.2), (-0.3, -0.26), (-0.1, 0.05), (0.2, 0.2), (0.5, 0.32)),
            *((0.48, 0.4), (0.1, 0.4), (-0.2, 0.22), (-0.4, 0.06)),
        ),
        shape((-0.46, -0.1), (-0.34, 0.0), (-0.38, 0.42), (-0.43, 0.42), tone="black"),
    ],
    "tall boot": _shoe(0.84, 0.1, 0.4),
    "ballerina": [
        shape(
            *((-0.48, 0.0), (-0.4, -0.04), (-0.28, 0.1), (0.16, 0.1), (0.3, 0.0)),
            *((0.44, 0.04), (0.5, 0.16), (0.46, 0.24), (-0.44, 0.24)),
        ),
        shape((0.18, 0.04), (0.34, -0.06), (0.3, 0.1), tone=SHADE),
        shape((0.18, -0.06), (0.34, 0.04), (0.2, 0.1), tone=SHADE),
    ],
    "sandal": [
        shape((-0.46, 0.2), (0.46, 0.24), (0.5, 0.34), (-0.46, 0.36), tone="black"),
        shape((0.0, 0.22), (0.14, -0.04), (0.34, -0.02), (0.42, 0.24)),
        shape((-0.44, 0.2), (-0.4, -0.26), (-0.16, -0.26), (-0.12, 0.2)),
        shape((-0.4, -0.34), (-0.06, -0.38), (-0.06, -0.26), (-0.4, -0.22), tone=SHADE),
    ],
    "ankle boot": [*_shoe(0.52, 0.16, 0.1), box(-0.44, -0.24, -0.06, -0.18, SHADE)],
    "trainer": [
        *_shoe(0.38, 0.0, 1.0, "pale"),
        *[
            shape(
                (x, 0.0), (x + 0.06, 0.0), (x + 0.2, 0.16), (x + 0.14, 0.16), tone=LIGHT
            )
            for x in (-0.02, 0.08)
        ],
    ],
    "oxford": [
        *_shoe(0.34, 0.06, 0.2),
        shape((0.26, 0.1), (0.3, 0.1), (0.34, 0.34), (0.28, 0.34), tone=SHADE),
    ],
    "loafer": [
        shape(
            *((-0.48, 0.02), (-0.2, 0.04), (-0.02, 0.12), (0.08, -0.06), (0.3, -0.06)),
            *((0.46, 0.06), (0.5, 0.24), (-0.46, 0.24)),
        ),
        box(-0.48, 0.24, 0.5, 0.32, "black"),
        box(0.04, 0.0, 0.3, 0.06, SHADE),
    ],
    "work boot": [
        *_shoe(0.66, 0.04, 1.0, "black"),
        box(-0.46, 0.32, 0.5, 0.46, "black"),
        oval(0.36, 0.22, 0.14, 0.12, SHADE),
    ],
    "flip-flop": [
        oval(0, -0.2, 0.2, 0.28),
        oval(0, 0.26, 0.17, 0.22),
        box(-0.17, -0.16, 0.17, 0.26),
        shape((0.0, -0.34), (0.2, 0.02), (0.14, 0.06), (0.0, -0.24), tone="black"),
        shape((0.0, -0.34), (-0.2, 0.02), (-0.14, 0.06), (0.0, -0.24), tone="black"),
    ],
    "rain boot": [
        *_shoe(0.74, 0.0, 1.0, SHADE),
        box(-0.46, -0.44, -0.04, -0.34, SHADE),
    ],
    "strap shoe": [
        shape(
            *((-0.46, -0.06), (-0.3, -0.06), (-0.24, 0.1), (0.12, 0.1), (0.26, 0.02)),
            *((0.46, 0.06), (0.5, 0.28), (-0.46, 0.28)),
        ),
        shape((-0.16, 0.12), (-0.06, -0.14), (0.06, -0.14), (0.02, 0.12), tone=SHADE),
        oval(-0.02, -0.12, 0.08, 0.08, SHADE),
    ],
    "high-top": [
        *_shoe(0.6, 0.0, 1.0, "pale"),
        oval(0.4, 0.26, 0.1, 0.1, "pale"),
        *[box(-0.1, y, 0.06, y + 0.04, "pale") for y in (-0.2, -0.1, 0.0)],
    ],
    "clog": [
        oval(0.14, 0.1, 0.36, 0.24),
        shape((-0.46, 0.1), (-0.2, 0.14), (-0.2, 0.34), (-0.46, 0.34)),
        *[oval(x, 0.0, 0.035, 0.035, "black") for x in (0.1, 0.22, 0.34)],
        box(-0.46, 0.26, 0.48, 0.36, SHADE),
    ],
    "skate": [
        *_shoe(0.62, 0.0, 0.8, SHADE),
        *[oval(x, 0.44, 0.085, 0.085, "black") for x in (-0.32, -0.1, 0.12, 0.34)],
    ],
}
