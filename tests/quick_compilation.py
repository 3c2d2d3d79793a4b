"""Tests compile more than they compute."""

import contextlib
from collections.abc import Iterator

import jax

OPTION = "jax_disable_most_optimizations"


@contextlib.contextmanager
def compiling_quickly() -> Iterator[None]:
    """Halves the time that compiling takes; the programs are slower and as right."""
    before = jax.config.read(OPTION)
    jax.config.update(OPTION, True)
    try:
        yield
    finally:
        jax.config.update(OPTION, before)
