"""What more co-attention cells cost: L = 5 beside L = 1, a scan beside a loop."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from benchmarks.timing import Comparison
from benchmarks.training_step import Training, ican, make_attributes, make_spec
from benchmarks.weights import draw
from ican.coattention import CoAttention, CoAttentionCell, Observation
from ican.model import Head


class LoopedCoAttention(CoAttention):
    """`CoAttention` by a loop that is unrolled: same parameters, same results."""

    @nn.compact
    def __call__(
        self,
        positions: jax.Array,
        attributes: jax.Array,
        mask: jax.Array | None = None,
        *,
        train: bool = False,
    ) -> Observation:
        """As that of `CoAttention`."""
        cell = CoAttentionCell(self.config, self.dtype, self.devices, name="cell")
        maps = cell.project(positions, attributes, mask)
        refinement, observations = cell.start(maps), []
        for _ in range(self.config.cells):
            refinement, observation = cell(refinement, maps, train=train)
            observations.append(observation)
        return jax.tree.map(
            lambda *observation: jnp.stack(observation, 1), *observations
        )


def gradients(module: nn.Module, *inputs: Any) -> Callable[[], Any]:
    """Training pass forward and backward, to parameters and first input, compiled."""
    key = jax.random.key(0)
    variables = draw(jax.eval_shape(module.init, key, *inputs))

    @jax.jit
    def run(variables, first, rest, key):
        def apply(variables, first):
            result = module.apply(
                variables, first, *rest, train=True, rngs={"dropout": key}
            )
            # Attention maps are read off, no gradient comes from them.
            return result[:-2], result[-2:]

        observation, pull, maps = jax.vjp(apply, variables, first, has_aux=True)
        return observation, maps, pull(jax.tree.map(jnp.ones_like, observation))

    arguments = jax.device_put((variables, inputs[0], inputs[1:], key))
    return lambda: jax.block_until_ready(run(*arguments))


def compare_heads(quick: bool) -> Iterator[Comparison]:
    """The head on maps of 196 positions: everything but the backbone."""
    batch, positions, channels, cells = (2, 4, 8, 2) if quick else (16, 196, 2048, 5)
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(batch, positions, channels)).astype(np.float32)
    spec = make_spec(quick)
    items = make_attributes(spec, batch, rng)
    many, one = (gradients(Head(ican(n), spec), maps, items) for n in (cells, 1))
    work = f"head at {positions} positions, batch {batch}, forward + backward"
    yield Comparison(work, (f"L = {cells}", many), ("L = 1", one), bar=1.8)
    vectors = rng.normal(size=(batch, len(spec.attributes), 200)).astype(np.float32)
    scan, loop = (
        gradients(form(ican(cells).ican), maps, vectors)
        for form in (CoAttention, LoopedCoAttention)
    )
    work = f"co-attention alone, L = {cells}, batch {batch}, forward + backward"
    yield Comparison(work, ("scan", scan), ("loop", loop))


def compare_steps(quick: bool) -> Iterator[Comparison]:
    """The whole training step, with a backbone that is trained along.

    Smaller photos than the paper's 448 pixels, so the head's share is larger.
    """
    depth, pixels, batch, cells = ("tiny", 32, 2, 2) if quick else ("50", 224, 8, 5)
    spec = make_spec(quick)
    many, one = (Training(spec, depth, pixels, batch, n) for n in (cells, 1))
    work = f"training step, ResNet {depth}, {pixels} px, batch {batch}"
    yield Comparison(work, (f"L = {cells}", many), ("L = 1", one), bar=1.1)
