import jax
import jax.numpy as jnp
import pytest

from benchmarks import operations
from common.layers import resnet


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def test_matrix_product():
    # 2 x 5 entries, 3 multiplications and additions each.
    counted = operations.count(lambda a, b: jnp.exp(a @ b), shape(2, 3), shape(3, 5))
    assert counted == 2 * 2 * 5 * 3


def test_batched_product():
    counted = operations.count(
        lambda a, b: jnp.einsum("bci,cio->bco", a, b), shape(4, 7, 3), shape(7, 3, 5)
    )
    assert counted == 2 * 4 * 7 * 5 * 3


def test_scan_counts_every_turn():
    def body(carry, _):
        return carry @ jnp.ones((3, 3)), None

    counted = operations.count(
        lambda a: jax.lax.scan(body, a, None, length=4)[0], shape(2, 3)
    )
    assert counted == 4 * 2 * 2 * 3 * 3


@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_and_its_gradients(stride):
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            ((1, 1), (1, 1)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    x, kernel = shape(2, 8, 8, 5), shape(3, 3, 5, 7)
    forward = 2 * 2 * (8 // stride) ** 2 * 7 * 9 * 5
    assert operations.count(convolve, x, kernel) == forward

    def gradients(x, kernel):
        return jax.grad(lambda *both: convolve(*both).sum(), (0, 1))(x, kernel)

    # As many again for each gradient, and the forward pass stays in the trace.
    assert operations.count(gradients, x, kernel) == 3 * forward


def test_resnet50_has_the_published_number():
    model = resnet.ResNet("50")
    images = shape(1, 224, 224, 3)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    counted = operations.count(model.apply, variables, images)
    # He et al. give 3.8e9 multiply-adds with the stride on the 1x1 convolutions;
    # this form, with the stride on the 3x3 ones, has 4.09e9, 2e6 of them the classifier.
    assert counted / 2 == pytest.approx(4.09e9, rel=0.01)
