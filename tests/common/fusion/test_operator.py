"""What all fusions have in common, operator by operator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common import fusion
from common.layers.dropout import Dropout
from common.parallel.devices import SINGLE, Devices

B, P, DX, DY = 4, 5, 7, 11
KEY = jax.random.key(0)
BOTH = ("project_x/drop", "project_y/drop")

# Operator, and where each of its dropout rates acts.
PROJECTED = {
    "dropout_projected": BOTH,
    "dropout_fused": ("output/drop_fused",),
    "dropout_output": ("output/drop",),
}
RAW = {"dropout_raw": ("project_x/drop_raw", "project_y/drop_raw")}
OPERATORS = {
    "concatenation": (fusion.Concatenation(), {}),
    "concatenation_mlp": (
        fusion.ConcatenationMLP(4, hidden=(5, 3)),
        {"dropout": ("drop_0", "drop_1")},
    ),
    "addition": (fusion.Addition(), {}),
    "linear_sum": (fusion.LinearSum(4, width=5, normalise=True), PROJECTED),
    "product": (fusion.Product(), {}),
    "mlb": (fusion.MLB(4, width=5, normalise=True), PROJECTED | RAW),
    "mcb": (fusion.MCB(4, width=8), {"dropout_output": ("output/drop",)}),
    "tucker": (fusion.Tucker(4, width=3, normalise=True), PROJECTED),
    "mfb": (
        fusion.MFB(4, factor=3, activation="relu"),
        {
            "dropout_projected": ("drop_x", "drop_y"),
            "dropout_product": ("drop_product",),
            "dropout_output": ("output/drop",),
        },
    ),
    "mfh": (
        fusion.MFH(4, width=6, factor=3),
        {
            "dropout_projected": tuple(
                f"stage_{i}/drop_{side}" for i in range(2) for side in "xy"
            ),
            "dropout_product": ("stage_0/drop_product", "stage_1/drop_product"),
            "dropout_output": ("output/drop",),
        },
    ),
    "mutan": (
        fusion.Mutan(4, width=5, rank=2, width_x=3, width_y=4, normalise=True),
        PROJECTED | RAW,
    ),
    "block_rank": (fusion.Block(4, width=6, chunks=3, rank=2), PROJECTED),
    "block_core": (fusion.Block(4, width=6, chunks=3, rank=None), PROJECTED),
    "block_after": (
        fusion.Block(4, width=6, chunks=3, rank=None, normalise="after"),
        PROJECTED,
    ),
}
LEARNED = [name for name, (_, dropouts) in OPERATORS.items() if dropouts]


def draw_inputs(name: str, leading_x=(B, P), leading_y=(B, 1)):
    size_x, size_y = (3, 3) if name in ("addition", "product") else (DX, DY)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(*leading_x, size_x)).astype(np.float32)
    y = rng.normal(size=(*leading_y, size_y)).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(y)


def draw_variables(operator, x, y, bias_scale=0.5):
    """Random variables of the right shapes, without compiling `init`."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        name = path[-1].key
        if name.startswith("bucket"):
            return rng.integers(0, operator.width, leaf.shape, np.int32)
        if name.startswith("sign"):
            return rng.choice([-1, 1], leaf.shape).astype(np.float32)
        scale = bias_scale if name.startswith("bias") else 0.5
        return rng.normal(size=leaf.shape, scale=scale).astype(leaf.dtype)

    shapes = jax.eval_shape(operator.init, KEY, x, y)
    return jax.tree.map_with_path(draw, shapes)


def apply(operator, variables, x, y):
    return np.asarray(jax.jit(operator.apply)(variables, x, y))


@pytest.mark.parametrize(
    ("name", "leading_x", "leading_y"),
    [(name, (B, P), (B, 1)) for name in OPERATORS]
    + [(name, (B, 1), (B, P)) for name in ("mfb", "block_rank", "block_core")],
)
def test_broadcasting_equals_tiled_rows(name, leading_x, leading_y):
    operator = OPERATORS[name][0]
    x, y = draw_inputs(name, leading_x, leading_y)
    variables = draw_variables(operator, x, y)
    z = apply(operator, variables, x, y)
    x, y = (np.tile(a, (1, P // a.shape[1], 1)) for a in (x, y))  # [B, P, D]
    rows = apply(operator, variables, x.reshape(B * P, -1), y.reshape(B * P, -1))
    np.testing.assert_allclose(z.reshape(B * P, -1), rows, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", LEARNED)
def test_broadcast_side_is_projected_once(name):
    operator = OPERATORS[name][0]
    x, y = draw_inputs(name)
    variables = jax.eval_shape(operator.init, KEY, x, y)
    jaxpr = jax.make_jaxpr(operator.apply)(variables, x, y)
    shapes = [
        variable.aval.shape
        for equation in jaxpr.eqns
        for variable in equation.outvars
        if variable.aval.shape
    ]
    assert (B, P, DY) not in shapes, "y was tiled over the positions"


@pytest.mark.parametrize("name", OPERATORS)
def test_gradients_are_finite_at_all_zero_inputs(name):
    operator = OPERATORS[name][0]
    x, y = (jnp.zeros_like(side) for side in draw_inputs(name))
    # Without biases, all stays exactly zero up to the last layer.
    variables = draw_variables(operator, x, y, bias_scale=0.0)
    params = variables.pop("params", {})

    def total(params, x, y):
        return jnp.sum(operator.apply({"params": params, **variables}, x, y))

    step = jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2)))
    value, gradients = step(params, x, y)
    assert value == 0.0
    for leaf in jax.tree.leaves(gradients):
        assert np.isfinite(leaf).all()


@pytest.mark.parametrize("name", OPERATORS)
def test_bfloat16_keeps_float32_parameters_and_finite_gradients(name):
    operator = OPERATORS[name][0]
    half = operator.clone(dtype=jnp.bfloat16)
    x, y = draw_inputs(name)
    variables = draw_variables(half, x, y)
    single = apply(operator, variables, x, y)
    params = variables.pop("params", {})
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))

    @jax.jit
    def differentiate(params):
        def loss(params):
            z = half.apply({"params": params, **variables}, x, y)
            return jnp.mean(jnp.square(z.astype(jnp.float32))), z

        return jax.grad(loss, has_aux=True)(params)

    gradients, z = differentiate(params)
    assert z.dtype == jnp.bfloat16
    for leaf in jax.tree.leaves(gradients):
        assert leaf.dtype == jnp.float32 and np.isfinite(leaf).all()
    # Next to zero the root of the norms magnifies rounding: judge the whole.
    difference = np.abs(z.astype(np.float32) - single)
    assert difference.mean() < 0.05 * np.abs(single).mean()


def active_dropouts(operator, x, y) -> dict[str, Devices]:
    """Paths of the dropouts with a rate, and the devices they were given."""
    found = {}

    def note(module, method):
        if isinstance(module, Dropout) and module.rate:
            found["/".join(module.path)] = module.devices
        return False

    rngs = {"params": KEY, "dropout": KEY}
    jax.eval_shape(
        lambda: operator.init(rngs, x, y, train=True, capture_intermediates=note)
    )
    return found


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, field) for name in LEARNED for field in OPERATORS[name][1]],
)
def test_every_dropout_rate_acts_in_its_place_alone(name, field):
    operator, places = OPERATORS[name]
    devices = Devices("data")
    x, y = draw_inputs(name)
    assert active_dropouts(operator.clone(**{field: 0.5}), x, y) == dict.fromkeys(
        places[field], SINGLE
    )
    # The hook is handed down; under a named axis it cannot run outside pmap.
    submodules = operator.clone(devices=devices, **{field: 0.5})
    with pytest.raises(NameError, match="data"):
        active_dropouts(submodules, x, y)


@pytest.mark.parametrize("name", LEARNED)
def test_dropout_is_off_outside_training(name):
    operator, places = OPERATORS[name]
    dropping = operator.clone(**dict.fromkeys(places, 0.5))
    x, y = draw_inputs(name)
    variables = draw_variables(operator, x, y)
    programs = [
        str(jax.make_jaxpr(module.apply)(variables, x, y))
        for module in (operator, dropping)
    ]
    assert programs[0] == programs[1]


@pytest.mark.parametrize("name", ["mfb", "block_core"])
def test_dropout_draws_in_training(name):
    operator, places = OPERATORS[name]
    dropping = operator.clone(**dict.fromkeys(places, 0.5))
    x, y = draw_inputs(name)
    variables = draw_variables(operator, x, y)

    @jax.jit
    def draw(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return dropping.apply(variables, x, y, train=True, rngs=rngs)

    assert not np.allclose(draw(0), apply(dropping, variables, x, y))
    np.testing.assert_array_equal(draw(0), draw(0))
    assert not np.allclose(draw(0), draw(1))


def test_dropout_is_the_same_on_one_device_and_two():
    operator = fusion.MFB(4, factor=3, dropout_projected=0.3, dropout_product=0.4)
    x, y = draw_inputs("mfb")
    variables = draw_variables(operator, x, y)

    def run(operator, x, y):
        return operator.apply(variables, x, y, train=True, rngs={"dropout": KEY})

    spread = operator.clone(devices=Devices("data"))
    halves = (a.reshape(2, B // 2, *a.shape[1:]) for a in (x, y))  # [2, B / 2, ...]
    z = jax.pmap(lambda x, y: run(spread, x, y), "data")(*halves)
    np.testing.assert_allclose(
        z.reshape(B, P, -1), run(operator, x, y), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("shape_x", "shape_y"), [((2, 5, 3), (2, 3)), ((3,), (3,)), ((2, 5, 3), (2, 4, 3))]
)
def test_leading_axes_that_do_not_broadcast_are_refused(shape_x, shape_y):
    with pytest.raises(ValueError, match="shapes"):
        fusion.Concatenation().apply({}, jnp.zeros(shape_x), jnp.zeros(shape_y))


@pytest.mark.parametrize("operator", [fusion.Product(), fusion.Addition()])
def test_element_wise_fusions_refuse_to_stretch_a_side(operator):
    with pytest.raises(ValueError, match="widths 3 and 1: both sides need the same"):
        operator.apply({}, jnp.ones((2, 3)), jnp.ones((2, 1)))
