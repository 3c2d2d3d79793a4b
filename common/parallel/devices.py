"""What one training step needs to know of the devices it is spread over.

Under `jax.jit` over a mesh a program is global: sums over the batch already are sums
over all devices. Under `jax.pmap` the program sees its own rows and needs
collectives. `Devices` hides the difference, so a step is written once.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax import lax


@dataclasses.dataclass(frozen=True)
class Devices:
    """Reductions over the devices of a step.

    Attributes:
      axis: name of the pmap axis; None under jit, where every method is the identity.
    """

    axis: str | None = None

    def sum(self, tree):
        """Sums every leaf over the devices."""
        return tree if self.axis is None else lax.psum(tree, self.axis)

    def mean(self, tree):
        """Averages every leaf over the devices.

        This is the right reduction for the gradients of a *globally reduced* loss:
        psum's transpose is psum, so each device holds n times the gradient.
        """
        return tree if self.axis is None else lax.pmean(tree, self.axis)

    def count(self) -> int:
        """Number of devices that share the batch, as the step sees it."""
        return 1 if self.axis is None else lax.axis_size(self.axis)

    def rows(self, array: jax.Array) -> jax.Array:
        """This device's rows of an array over the global batch.

        Args:
          array: [B, ...] the same on all devices.

        Returns:
          [B / count, ...]; the array itself under jit.
        """
        if self.axis is None:
            return array
        rows = array.shape[0] // lax.axis_size(self.axis)
        start = lax.axis_index(self.axis) * rows
        return lax.dynamic_slice_in_dim(array, start, rows)

    def random_mask(self, key: jax.Array, probability: float, shape) -> jax.Array:
        """Bernoulli mask that does not depend on how the batch is spread.

        It is drawn for the global batch, and each device takes its rows.

        Args:
          key: one key, the same on all devices.
          probability: of True.
          shape: (b, ...) of this device's part; the batch axis must lead.

        Returns:
          bool [b, ...].
        """
        whole = (shape[0] * self.count(), *shape[1:])
        return self.rows(jax.random.bernoulli(key, probability, whole))


SINGLE = Devices()


def global_ratio(devices: Devices, total: jax.Array, weight: jax.Array) -> jax.Array:
    """Global mean sum(total) / sum(weight), 0 where nothing was weighed."""
    total, weight = devices.sum((total, weight))
    return total / jnp.maximum(weight, jnp.finfo(weight.dtype).tiny)
