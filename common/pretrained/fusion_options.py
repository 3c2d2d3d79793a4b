"""Constructor options of the BLOCK repository's fusions: defaults and checks."""

import numbers
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from common.errors import UserError
from common.fusion.projection import Activation

_DROPOUTS = {"dropout_input": 0.0, "dropout_pre_lin": 0.0, "dropout_output": 0.0}
_ACTIVATIONS = {"activ_input": "relu", "activ_output": "relu"}
_BLOCK = {"mm_dim": 1600, "chunks": 20, "shared": False, "pos_norm": "before_cat"}
_TUCKER = {"mm_dim": 1600, "shared": False, "normalize": False}
_ELEMENTWISE = {"mm_dim": 1200, "normalize": False}

# Kind -> option -> default, beside "input_dims" and "output_dim", which have none.
OPTIONS: dict[str, dict[str, Any]] = {
    "Block": {**_BLOCK, "rank": 15, **_DROPOUTS},
    "BlockTucker": {**_BLOCK, **_DROPOUTS},
    "Mutan": {**_TUCKER, "rank": 15, **_DROPOUTS},
    "Tucker": {**_TUCKER, **_DROPOUTS},
    "MLB": {**_ELEMENTWISE, **_ACTIVATIONS, **_DROPOUTS},
    "MFB": {
        **_ELEMENTWISE,
        "factor": 2,
        **_ACTIVATIONS,
        "dropout_input": 0.0,
        "dropout_pre_norm": 0.0,
        "dropout_output": 0.0,
    },
    "MFH": {**_ELEMENTWISE, "factor": 2, **_ACTIVATIONS, **_DROPOUTS},
    "MCB": {"mm_dim": 16000, "activ_output": "relu", "dropout_output": 0.0},
    "LinearSum": {**_ELEMENTWISE, **_ACTIVATIONS, **_DROPOUTS},
    "ConcatMLP": {"dimensions": (500, 500), "activation": "relu", "dropout": 0.0},
}


def check_options(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Fills in defaults and checks every value.

    Args:
      kind: a key of `OPTIONS`.
      options: constructor options as a user gave them.

    Returns:
      all options of the class; widths as tuples, no activation as "none".

    Raises:
      UserError: an option is unknown, missing, or has a value that cannot be.
    """
    known = {"input_dims", "output_dim", *OPTIONS[kind]}
    for name in options:
        if name not in known:
            raise UserError(
                f"{kind} has no option {name!r}: it takes {', '.join(sorted(known))}"
            )
    for name in ("input_dims", "output_dim"):
        if name not in options:
            raise UserError(f"{kind}: option {name!r} is missing")
    filled = {**OPTIONS[kind], **options}
    checked = {name: _check(kind, name, value) for name, value in filled.items()}
    sides = checked["input_dims"]
    if len(sides) != 2:
        raise UserError(f"{kind}: option 'input_dims' must hold 2 widths, not {sides}")
    # Tucker takes the option "shared" but does not share.
    if checked.get("shared") and kind != "Tucker" and sides[0] != sides[1]:
        raise UserError(f"{kind}: option 'shared' needs two equal widths, not {sides}")
    return checked


def _check(kind: str, name: str, value: Any) -> Any:
    """Checks one value by what its name says it is."""
    if name in ("input_dims", "dimensions"):
        if isinstance(value, Sequence) and all(map(_is_width, value)):
            return tuple(int(width) for width in value)
        expected = "a list of positive whole numbers"
    elif name in ("shared", "normalize"):
        if isinstance(value, bool):
            return value
        expected = "true or false"
    elif name.startswith("dropout"):
        if isinstance(value, numbers.Real) and 0 <= float(value) < 1:
            return float(value)
        expected = "a rate in [0, 1)"
    elif name.startswith("activ"):
        value = value or "none"
        if value in get_args(Activation):
            return value
        expected = f"None or one of {', '.join(get_args(Activation)[1:])}"
    elif name == "pos_norm":
        if value in ("before_cat", "after_cat"):
            return value
        expected = "before_cat or after_cat"
    else:
        if _is_width(value):
            return int(value)
        expected = "a positive whole number"
    raise UserError(f"{kind}: option {name!r} must be {expected}, not {value!r}")


def _is_width(value: Any) -> bool:
    return (
        isinstance(value, numbers.Integral)
        and not isinstance(value, bool)
        and int(value) > 0
    )
