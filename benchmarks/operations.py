"""How many arithmetic operations a function asks for."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax


def count(function: Callable[..., Any], *arguments: Any) -> int:
    """Counts the operations of all matrix products and convolutions.

    A multiplication and an addition are two operations. Read off the traced program,
    before any compiler: on a GPU the products end up in calls of vendors' libraries,
    which XLA's own count of a compiled program leaves out.

    Args:
      function: to trace.
      arguments: arrays or shapes.

    Returns:
      the number; zeros that a gradient inserts between the cells of a map of stride 2
      are not counted, zeros around a map are.
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def _count(program: Any) -> int:
    total = 0
    for equation in program.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            (contracted, _), _ = params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            depth = math.prod(left[axis] for axis in contracted)
            total += 2 * equation.outvars[0].aval.size * depth
        elif name == "conv_general_dilated":
            kernel = equation.invars[1].aval
            outputs = params["dimension_numbers"].rhs_spec[0]
            depth = kernel.size // kernel.shape[outputs]
            whole = 2 * equation.outvars[0].aval.size * depth
            total += whole // math.prod(params["lhs_dilation"])
        else:
            turns = params["length"] if name == "scan" else 1
            total += turns * sum(map(_count, _inner_programs(params)))
    return total


def _inner_programs(params: dict[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            program = getattr(item, "jaxpr", item)
            if hasattr(program, "eqns"):
                yield program
