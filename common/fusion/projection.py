"""Linear maps before and after a fusion, each with its activation and dropout."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.fusion.operator import Fusion
from common.layers.dropout import Dropout
from common.parallel.devices import SINGLE, Devices

Activation = Literal["none", "relu", "tanh", "sigmoid"]


def activate(x: jax.Array, activation: Activation) -> jax.Array:
    """Applies the named activation, element by element.

    Args:
      x: [...].
      activation: its name; "none" returns x.

    Returns:
      [...].

    Raises:
      ValueError: the name is unknown.
    """
    match activation:
        case "none":
            return x
        case "relu":
            return jax.nn.relu(x)
        case "tanh":
            return jnp.tanh(x)
        case "sigmoid":
            return jax.nn.sigmoid(x)
    raise ValueError(f"activation {activation!r}: expected none, relu, tanh or sigmoid")


class Projection(nn.Module):
    """One side on its way into a fusion: dropout(activation(W dropout(x) + b)).

    Attributes:
      features: output width.
      activation: after the linear map.
      dropout_raw: rate on the raw input, before the linear map.
      dropout: rate after the activation.
      dtype: type of the computation.
      devices: what the batch is spread over.
    """

    features: int
    activation: Activation = "none"
    dropout_raw: float = 0.0
    dropout: float = 0.0
    dtype: jnp.dtype | None = None
    devices: Devices = SINGLE

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Maps x [..., Dx] to [..., features]."""
        x = Dropout(self.dropout_raw, self.devices, name="drop_raw")(x, train=train)
        x = nn.Dense(self.features, dtype=self.dtype, name="linear")(x)
        x = activate(x, self.activation)
        return Dropout(self.dropout, self.devices, name="drop")(x, train=train)


class Output(nn.Module):
    """What follows the fused vector: dropout(activation(W dropout(z) + b)).

    Attributes:
      features: output width; None for no linear map and no activation, leaving the
        two dropouts.
      activation: after the linear map.
      dropout_fused: rate on the fused vector.
      dropout: rate on the result.
      dtype: type of the computation.
      devices: what the batch is spread over.
    """

    features: int | None
    activation: Activation = "none"
    dropout_fused: float = 0.0
    dropout: float = 0.0
    dtype: jnp.dtype | None = None
    devices: Devices = SINGLE

    @nn.compact
    def __call__(self, z: jax.Array, *, train: bool) -> jax.Array:
        """Maps z [..., width] to [..., features]."""
        z = Dropout(self.dropout_fused, self.devices, name="drop_fused")(z, train=train)
        if self.features is not None:
            z = nn.Dense(self.features, dtype=self.dtype, name="linear")(z)
            z = activate(z, self.activation)
        return Dropout(self.dropout, self.devices, name="drop")(z, train=train)


class ProjectedFusion(Fusion):
    """A fusion with an inner width, mapped to its output width.

    All dropout rates are 0 unless given.

    Attributes:
      features: output width.
      width: inner width, of the fused vector, when a linear map to `features`
        follows; None for no such map: the fused vector itself has `features`.
      dropout_output: rate on the result.
    """

    features: int
    width: int | None = None
    dropout_output: float = 0.0

    @property
    def fused_width(self) -> int:
        """Width of the fused vector, before the output map if there is one."""
        return self.features if self.width is None else self.width

    def make_output(
        self,
        activation: Activation = "none",
        dropout_fused: float = 0.0,
        name: str | None = None,
    ) -> Output:
        """Creates what follows the fused vector.

        Args:
          activation: after the output map, if there is one.
          dropout_fused: rate on the fused vector.
          name: of the submodule; None in `setup`, which names it by its attribute.

        Returns:
          the submodule.
        """
        return Output(
            None if self.width is None else self.features,
            activation,
            dropout_fused,
            self.dropout_output,
            name=name,
            **self.inherited,
        )
