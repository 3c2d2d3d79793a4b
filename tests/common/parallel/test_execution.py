import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.errors import UserError
from common.parallel.execution import all_finite, make_execution
from common.parallel.processes import ParallelConfig

LAYOUTS = [
    {"mode": "jit", "devices": 1},
    {"mode": "jit", "devices": 8},
    {"mode": "jit", "devices": 8, "model_axis": 4},
    {"mode": "pmap", "devices": 1},
    {"mode": "pmap", "devices": 4},
]


@pytest.fixture(params=LAYOUTS, ids=lambda p: "-".join(str(v) for v in p.values()))
def execution(request):
    return make_execution(ParallelConfig(**request.param))


def test_step_sees_the_whole_batch(execution):
    """state += sum over the global batch of x * factor."""

    def step(state, batch, factor):
        total = execution.devices.sum(batch["x"].sum(0)) * factor
        return {"w": state["w"] + total}, {"total": total.sum()}

    state = execution.init(lambda _: {"w": jnp.zeros(2)}, None)
    compiled = execution.compile_step(step)
    x = np.arange(16, dtype=np.float32).reshape(8, 2)
    for factor in (1, 2):
        state, metrics = compiled(state, {"x": x}, np.float32(factor))
    # Column sums of 0..15: 56 and 64.
    assert execution.read(metrics) == {"total": 240}
    np.testing.assert_array_equal(execution.to_host(state)["w"], [168, 192])


def test_state_is_used_up(execution):
    state = execution.init(lambda _: jnp.zeros((2, 3)), None)
    compiled = execution.compile_step(lambda s, b: (s + 1, {"n": s.sum()}))
    compiled(state, {})
    assert state.is_deleted()


def test_predictions_come_in_order_on_the_host(execution):
    state = execution.init(lambda _: jnp.float32(10), None)
    predict = execution.compile_predict(
        lambda s, b: {"y": s * b["x"], "flag": b["x"] > 3}
    )
    found = predict(state, {"x": np.arange(8, dtype=np.float32)})
    assert isinstance(found["y"], np.ndarray)
    assert found["y"].tolist() == [10.0 * k for k in range(8)]
    assert found["flag"].tolist() == [False] * 4 + [True] * 4


def test_eval_is_reduced_over_devices(execution):
    state = execution.init(lambda _: jnp.float32(1), None)
    count = execution.compile_eval(
        lambda s, b: execution.devices.sum((b["x"] * s).sum())
    )
    assert execution.read(count(state, {"x": np.ones(8, np.float32)})) == 8


def test_put_twice_is_put_once(execution):
    batch = {"x": np.arange(16).reshape(8, 2)}
    once = execution.put(batch)
    assert execution.put(once)["x"] is once["x"]


def test_replicated_data_may_be_a_batch(execution):
    table = execution.replicate({"table": np.arange(3.0, dtype=np.float32)})
    compiled = execution.compile_step(
        lambda s, b: (s + b["table"].sum(), {"n": b["table"].sum()})
    )
    state = execution.init(lambda _: jnp.float32(0), None)
    for _ in range(2):
        state, metrics = compiled(state, table)
    assert execution.to_host(state) == 6
    assert execution.read(metrics["n"]) == 3


def test_saved_form_holds_each_array_once(execution):
    state = execution.init(
        lambda _: {"w": jnp.arange(6.0).reshape(2, 3), "n": jnp.int32(4)}, None
    )
    saved = execution.to_saved(state)
    assert saved["w"].shape == (2, 3)
    again = execution.from_saved(saved)
    for path in ("w", "n"):
        assert again[path].sharding == state[path].sharding
        np.testing.assert_array_equal(np.asarray(again[path]), np.asarray(state[path]))


def test_init_takes_the_state_before(execution):
    before = execution.init(lambda _: {"w": jnp.ones(3)}, None)
    after = execution.init(lambda old: {"v": old["w"] * 2}, before)
    np.testing.assert_array_equal(execution.to_host(after)["v"], [2, 2, 2])


def test_only_large_arrays_are_cut():
    config = ParallelConfig(devices=8, model_axis=4)
    execution = make_execution(config)
    shapes = {
        "table": (1 << 14, 8),  # rows
        "wide": (3, 1 << 16),  # columns
        "odd": (1 << 16, 3),
        "no": (65537, 3),  # 4 divides neither
        "small": (64, 64),
        "vector": (1 << 18,),
    }
    state = execution.init(
        lambda _: {name: jnp.ones(shape) for name, shape in shapes.items()}, None
    )
    parts = {name: x.addressable_shards[0].data.shape for name, x in state.items()}
    assert parts == {
        "table": (1 << 12, 8),
        "wide": (3, 1 << 14),
        "odd": (1 << 14, 3),
        "no": (65537, 3),
        "small": (64, 64),
        "vector": (1 << 18,),
    }
    # A step keeps the cut, so nothing is compiled twice or gathered.
    compiled = execution.compile_step(lambda s, b: (jax.tree.map(jnp.cos, s), {}))
    stepped, _ = compiled(state, {})
    assert stepped["table"].addressable_shards[0].data.shape == (1 << 12, 8)
    # Two devices hold the same rows of a batch: 8 / 4.
    assert execution.put(np.zeros((4, 1))).addressable_shards[0].data.shape == (2, 1)


def test_all_finite():
    good = {"a": jnp.ones(3), "n": jnp.arange(2), "key": jax.random.key(0)}
    assert all_finite(good)
    assert not all_finite({**good, "a": jnp.array([1.0, jnp.inf])})
    assert not all_finite({**good, "b": jnp.array(jnp.nan, jnp.bfloat16)})


@pytest.mark.parametrize("layout", [LAYOUTS[1], LAYOUTS[4]])
def test_uneven_batches_are_refused(layout):
    execution = make_execution(ParallelConfig(**layout))
    with pytest.raises(UserError, match=r"shape \(6, 2\) .* multiple of"):
        execution.put({"x": np.zeros((6, 2))})
    with pytest.raises(UserError, match="batch size 6"):
        execution.check_batch(6)
    execution.check_batch(16)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"devices": 9}, "devices=9, but there are 8"),
        ({"mode": "pmap", "model_axis": 2}, "needs --parallel.mode=jit"),
        ({"devices": 6, "model_axis": 4}, "model_axis=4 does not divide the 6"),
        ({"mode": "gpu"}, "mode"),
        ({"devices": -1}, "devices"),
    ],
)
def test_meaningless_layouts_are_refused(config, message):
    with pytest.raises(UserError, match=message):
        make_execution(ParallelConfig(**config))


def test_all_batches_are_predicted_without_the_padding(execution):
    predict = execution.predict_all(lambda state, batch: {"y": state * batch["x"]})
    state = execution.replicate(np.float32(10))
    batches = [{"x": np.arange(8.0, dtype=np.float32) + 8 * k} for k in range(2)]
    (y,) = predict(state, batches, 11).values()
    assert isinstance(y, np.ndarray)
    np.testing.assert_array_equal(y, 10 * np.arange(11.0))
