"""Outlines of goods other than clothes: category: its parts, those further back first."""

import numpy as np

from pricer.generated.outlines import (
    BODY,
    LIGHT,
    SHADE,
    Part,
    box,
    even,
    oval,
    ring,
    shape,
)


def _device(half_width: float, half_height: float, rim: float) -> list[Part]:
    """A flat device with a strip of its screen above the middle."""
    body = box(-half_width, -half_height, half_width, half_height)
    screen = box(
        *(rim - half_width, rim - half_height, half_width - rim, -0.5 * half_height),
        tone="screen",
    )
    return [body, screen]


SMALL: dict[str, list[Part]] = {
    "lipstick": [
        shape((-0.1, -0.26), (-0.1, -0.4), (0.1, -0.5), (0.1, -0.26), tone=LIGHT),
        box(-0.13, -0.26, 0.13, -0.08, "steel"),
        box(-0.18, -0.08, 0.18, 0.5),
    ],
    "perfume": [
        box(-0.36, -0.2, 0.36, 0.46),
        box(-0.1, -0.32, 0.1, -0.2, "steel"),
        box(-0.16, -0.5, 0.16, -0.32, "black"),
    ],
    "cream jar": [box(-0.44, -0.1, 0.44, 0.38), box(-0.48, -0.34, 0.48, -0.1, SHADE)],
    "lotion": [
        even((0.12, -0.26), (0.28, -0.14), (0.28, 0.5)),
        box(-0.04, -0.4, 0.04, -0.26, "steel"),
        shape((-0.26, -0.44), (0.1, -0.5), (0.1, -0.4), (-0.26, -0.38), tone="black"),
    ],
    "mascara": [
        even((0.14, -0.02), (0.16, 0.08), (0.13, 0.5)),
        even((0.03, -0.5), (0.09, -0.44), (0.09, -0.2), (0.03, -0.16), tone="black"),
        box(-0.03, -0.2, 0.03, 0.0, "steel"),
    ],
    "smartphone": _device(0.25, 0.5, 0.035),
    "large phone": [*_device(0.34, 0.5, 0.03), oval(0.0, -0.44, 0.03, 0.03, "black")],
    "flip phone": [
        shape((-0.26, 0.0), (0.26, 0.0), (0.22, 0.5), (-0.22, 0.5)),
        shape((-0.3, -0.48), (0.3, -0.48), (0.24, -0.03), (-0.24, -0.03), tone=SHADE),
        box(-0.2, -0.42, 0.2, -0.3, "screen"),
    ],
    "keypad phone": [
        box(-0.2, -0.42, 0.2, 0.5),
        box(0.1, -0.5, 0.17, -0.4, "black"),
        box(-0.15, -0.38, 0.15, -0.22, "screen"),
        *[
            box(x, y, x + 0.06, y + 0.04, "pale")
            for x in (-0.15, -0.03, 0.09)
            for y in (0.34, 0.41)
        ],
    ],
    "folding phone": [
        shape((-0.48, -0.36), (0.0, -0.28), (0.0, 0.4), (-0.48, 0.48)),
        shape((0.48, -0.36), (0.0, -0.28), (0.0, 0.4), (0.48, 0.48), tone=SHADE),
        shape((0.42, -0.3), (0.05, -0.23), (0.05, -0.02), (0.42, -0.05), tone="screen"),
    ],
    "laptop": [
        box(-0.38, -0.4, 0.38, 0.16),
        even((0.4, 0.16), (0.5, 0.4), tone=SHADE),
        even((0.32, 0.2), (0.36, 0.28), tone="black"),
    ],
    "tablet": [*_device(0.46, 0.36, 0.04), oval(0.42, 0.0, 0.02, 0.02, "black")],
    "camera": [
        box(-0.48, -0.22, 0.48, 0.36),
        shape((-0.2, -0.22), (-0.12, -0.38), (0.12, -0.38), (0.2, -0.22), tone=SHADE),
        ring(0.22, 0.08, 0.22, 0.1, "black"),
        oval(0.22, 0.08, 0.1, 0.1, "screen"),
    ],
    "headphones": [
        ring(0, 0.05, 0.46, 0.32),
        box(-0.34, 0.15, 0.34, 0.52, "pale"),
        oval(-0.36, 0.16, 0.14, 0.26, SHADE),
        oval(0.36, 0.16, 0.14, 0.26, SHADE),
    ],
    "game controller": [
        even((0.3, -0.22), (0.44, -0.12), (0.5, 0.32), (0.36, 0.36), (0.2, 0.14)),
        oval(-0.28, -0.06, 0.08, 0.08, "black"),
        oval(0.28, -0.06, 0.08, 0.08, "black"),
    ],
    "kettle": [
        ring(0.3, 0.0, 0.2, 0.13, "black"),
        shape((-0.2, -0.16), (-0.48, -0.3), (-0.42, -0.36), (-0.14, -0.3)),
        even((0.2, -0.32), (0.34, 0.46)),
        oval(0, -0.36, 0.08, 0.08, "black"),
    ],
    "fan": [
        even((0.06, 0.1), (0.06, 0.4), (0.28, 0.5), tone=SHADE),
        oval(0, -0.12, 0.38, 0.38),
        *[
            oval(0.26 * np.cos(a), -0.12 + 0.26 * np.sin(a), 0.07, 0.07, "pale")
            for a in np.deg2rad([30, 150, 270])
        ],
    ],
    "rice cooker": [
        oval(0, -0.1, 0.42, 0.24, SHADE, 180, 360),
        even((0.44, -0.1), (0.36, 0.4)),
        box(-0.5, -0.02, -0.42, 0.08, "black"),
        box(0.42, -0.02, 0.5, 0.08, "black"),
        oval(0, -0.36, 0.08, 0.05, "black"),
    ],
    "washing machine": [
        box(-0.42, -0.5, 0.42, 0.5),
        box(-0.42, -0.5, 0.42, -0.36, "steel"),
        ring(0.0, 0.04, 0.34, 0.27, "steel"),
    ],
    "microwave": [
        box(-0.5, -0.3, 0.5, 0.32),
        box(0.26, -0.24, 0.44, 0.26, "black"),
        *[oval(0.35, y, 0.05, 0.05, "pale") for y in (-0.1, 0.12)],
    ],
}
LARGE: dict[str, list[Part]] = {
    "racket": [
        box(-0.05, 0.16, 0.05, 0.5, "black"),
        oval(0, -0.16, 0.32, 0.34, SHADE),
        oval(0, -0.16, 0.26, 0.28),
    ],
    "dumbbell": [
        box(-0.3, -0.12, 0.3, 0.16),
        box(-0.5, -0.32, -0.28, 0.36, SHADE),
        box(0.28, -0.32, 0.5, 0.36, SHADE),
    ],
    "ball": [oval(0, 0, 0.46, 0.46), oval(-0.3, -0.1, 0.1, 0.34, SHADE)],
    "skateboard": [
        oval(-0.3, 0.28, 0.1, 0.1, "black"),
        oval(0.3, 0.28, 0.1, 0.1, "black"),
        shape(
            *((-0.5, -0.14), (-0.36, -0.06), (0.36, -0.06), (0.5, -0.14), (0.48, 0.06)),
            *((0.34, 0.22), (-0.34, 0.22), (-0.48, 0.06)),
        ),
    ],
    "yoga mat": [
        shape((-0.4, -0.3), (0.4, -0.3), (0.5, 0.44), (-0.5, 0.44)),
        oval(0, -0.32, 0.46, 0.12, SHADE),
        oval(-0.4, -0.32, 0.06, 0.1, "black"),
    ],
    "pram": [
        oval(-0.26, 0.38, 0.12, 0.12, "black"),
        oval(0.26, 0.38, 0.12, 0.12, "black"),
        oval(0.0, 0.0, 0.4, 0.3, BODY, 0, 180),
        oval(-0.0, 0.0, 0.4, 0.44, SHADE, 180, 280),
        shape((0.36, 0.02), (0.48, -0.26), (0.42, -0.28), (0.3, 0.0), tone="steel"),
        box(-0.4, -0.06, 0.4, 0.12),
    ],
    "feeding bottle": [
        even((0.04, -0.5), (0.07, -0.38), (0.14, -0.34), tone="pale"),
        box(-0.2, -0.34, 0.2, -0.22, SHADE),
        box(-0.22, -0.22, 0.22, 0.5),
    ],
    "cot": [
        box(-0.5, -0.4, -0.4, 0.5, SHADE),
        box(0.4, -0.4, 0.5, 0.5, SHADE),
        *[box(x, -0.3, x + 0.05, 0.0, SHADE) for x in (-0.3, -0.15, 0.0, 0.15, 0.3)],
        box(-0.5, -0.34, 0.5, -0.26, SHADE),
        box(-0.42, -0.1, 0.42, 0.34),
    ],
    "teddy bear": [
        *[oval(x, -0.42, 0.1, 0.1, SHADE) for x in (-0.2, 0.2)],
        *[oval(x, 0.0, 0.12, 0.08, SHADE) for x in (-0.34, 0.34)],
        *[oval(x, 0.42, 0.11, 0.1, SHADE) for x in (-0.22, 0.22)],
        oval(0, 0.16, 0.3, 0.32),
        oval(0, -0.28, 0.24, 0.21),
        *[oval(x, -0.34, 0.03, 0.03, "black") for x in (-0.1, 0.1)],
    ],
    "rattle": [
        oval(0, -0.16, 0.34, 0.32),
        box(-0.06, 0.1, 0.06, 0.36, "pale"),
        ring(0, 0.4, 0.12, 0.05, SHADE),
    ],
    "handbag": [ring(0, -0.16, 0.3, 0.22, SHADE), even((0.36, -0.18), (0.48, 0.46))],
    "watch": [
        even((0.16, -0.5), (0.2, -0.2), (0.2, 0.2), (0.16, 0.5), tone=SHADE),
        oval(0, 0, 0.36, 0.36),
        box(0.34, -0.05, 0.42, 0.05, "steel"),
    ],
    "sunglasses": [
        shape((-0.5, -0.24), (0.5, -0.24), (0.5, -0.14), (-0.5, -0.14), tone="black"),
        oval(-0.26, 0.0, 0.23, 0.24),
        oval(0.26, 0.0, 0.23, 0.24),
    ],
    "hat": [oval(0, 0.22, 0.5, 0.16, SHADE), even((0.24, -0.34), (0.3, 0.22))],
    "wallet": [
        box(-0.48, -0.32, 0.48, 0.36),
        shape((-0.48, -0.32), (0.48, -0.32), (0.42, -0.2), (-0.42, -0.2), tone=SHADE),
        oval(0.38, 0.0, 0.06, 0.06, "steel"),
    ],
}
