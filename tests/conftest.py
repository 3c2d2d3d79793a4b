"""Strict settings for the whole suite: eight devices, no silent broadcasting."""

import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
os.environ.setdefault("MPLBACKEND", "Agg")
# Subprocesses of the integration tests share the compiled programs too.
_CACHE = pathlib.Path(__file__).parent.parent / ".cache" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax
from absl import flags

jax.config.update("jax_numpy_rank_promotion", "raise")
# Grain's worker processes read an absl flag; outside app.run nobody has parsed it.
flags.FLAGS.mark_as_parsed()
