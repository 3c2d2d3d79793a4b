"""MCB: multimodal compact bilinear pooling by count sketches."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from common.fusion.norms import power_normalise
from common.fusion.projection import Activation, ProjectedFusion


def count_sketch(
    x: jax.Array, bucket: jax.Array, sign: jax.Array, length: int
) -> jax.Array:
    """Computes out[n] = sum of sign[i] * x[i] over all i with bucket[i] == n.

    Args:
      x: [..., D].
      bucket: int [D], in 0 .. length - 1.
      sign: [D], 1 or -1.
      length: number of buckets.

    Returns:
      [..., length].
    """
    signed = x * sign.reshape((1,) * (x.ndim - 1) + sign.shape)
    return jnp.zeros((*x.shape[:-1], length), x.dtype).at[..., bucket].add(signed)


class MCB(ProjectedFusion):
    """z = C (S_x x * S_y y) + c: circular convolution of two count sketches.

    The sketch of the outer product of x and y is the convolution of their sketches,
    a product of Fourier transforms. Buckets and signs are drawn at initialisation
    and never trained; they live in the collection "sketch" (int32 and float32) and
    must be kept with the parameters.

    Source: Fukui et al., Multimodal Compact Bilinear Pooling for Visual Question
    Answering and Visual Grounding (EMNLP 2016), section 3.1. The defaults are that
    paper's. The BLOCK repository's variant has no normalisation, and relu on the
    output.

    Attributes:
      width: length of the sketches, as in `ProjectedFusion`.
      activation_output: on the output map.
      normalise: whether power norm and L2 follow the convolution.
    """

    width: int | None = 16000
    activation_output: Activation = "none"
    normalise: bool = True

    @nn.compact
    def fuse(self, x: jax.Array, y: jax.Array, train: bool) -> jax.Array:
        """Sketches both sides, convolves them and maps to the output."""
        length = self.fused_width
        spectrum = self._spectrum(x, "x") * self._spectrum(y, "y")  # [..., F]
        z = jnp.fft.irfft(spectrum, n=length)  # [..., width]
        if self.normalise:
            z = power_normalise(z)
        z = z.astype(x.dtype)
        output = self.make_output(self.activation_output, name="output")
        return output(z, train=train)

    def _spectrum(self, x: jax.Array, side: str) -> jax.Array:
        """Fourier transform of the sketch of one side, in at least float32."""
        size = x.shape[-1]
        bucket = self.variable("sketch", f"bucket_{side}", self._draw_buckets, size)
        sign = self.variable("sketch", f"sign_{side}", self._draw_signs, size)
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        sketch = count_sketch(
            x, bucket.value, sign.value.astype(x.dtype), self.fused_width
        )
        return jnp.fft.rfft(sketch)

    def _draw_buckets(self, size: int) -> jax.Array:
        key = self.make_rng("params")
        return jax.random.randint(key, (size,), 0, self.fused_width)

    def _draw_signs(self, size: int) -> jax.Array:
        return jax.random.rademacher(self.make_rng("params"), (size,), jnp.float32)
