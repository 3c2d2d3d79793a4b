"""Random keys that depend on names and step numbers, never on what ran before.

A key is `at(stream(root(seed), name), step)`. Nothing about randomness has to be
stored in a checkpoint: the step number is enough, and a run that was killed draws
the same numbers again.
"""

import hashlib

import jax


def root(seed: int) -> jax.Array:
    """The key that every other key of a run comes from."""
    return jax.random.key(seed)


def stream(key: jax.Array, name: str) -> jax.Array:
    """An independent key for each use of randomness.

    Args:
      key: typed key.
      name: what it is for, e.g. "dropout". Python's own `hash` differs from process
        to process, so the first 4 bytes of the name's SHA-256 are folded in.

    Returns:
      Typed key.
    """
    digest = hashlib.sha256(name.encode()).digest()
    return jax.random.fold_in(key, int.from_bytes(digest[:4], "big"))


def at(key: jax.Array, step: jax.Array | int) -> jax.Array:
    """The key of one step of a stream; `step` may be traced."""
    return jax.random.fold_in(key, step)
