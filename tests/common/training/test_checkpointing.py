import contextlib
import json
import math
import shutil
import time
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.errors import UserError
from common.parallel.execution import make_execution
from common.parallel.processes import ParallelConfig
from common.training import checkpointing, tree_paths
from common.training.checkpointing import Checkpoints

IDENTITY = {"seed": 0, "model": {"cells": 3, "kind": "ican"}}
ABOUT = {"identity": IDENTITY, "phase_number": 0}


@pytest.fixture(scope="module")
def execution():
    return make_execution(ParallelConfig(devices=2))


def make_state(value=1.0):
    return {
        "params": {"kernel": jnp.full((2, 3), value), "low": jnp.ones(2, jnp.bfloat16)},
        "count": jnp.int32(7),
        "key": jax.random.key(5),
        "empty": jnp.zeros((4, 0)),
        "flag": jnp.array([True, False]),
    }


def abstract(value=1.0):
    return jax.eval_shape(lambda: make_state(value))


def write(directory, execution, scores, *, about=ABOUT):
    """Saves one checkpoint per score at steps 1, 2, ...; kernels hold the step."""
    with contextlib.closing(Checkpoints(directory)) as checkpoints:
        first = max(checkpoints.steps, default=0) + 1
        for step, score in enumerate(scores, first):
            state = execution.init(lambda _, s=step: make_state(float(s)), None)
            checkpoints.save(step, state, about, execution, score)


def kept(directory):
    with contextlib.closing(Checkpoints(directory, writable=False)) as checkpoints:
        return checkpoints.steps, checkpoints.best


@pytest.mark.parametrize(
    ("scores", "steps", "best"),
    [
        ([None, None, None], [2, 3], None),
        ([0.5, 0.2, None, 0.3], [1, 3, 4], 1),
        ([0.5, 0.7, 0.6, 0.1], [2, 3, 4], 2),
        ([0.5, 0.5, 0.1, 0.1], [2, 3, 4], 2),  # the later of equals
        ([0.5, math.nan, math.nan, math.nan], [1, 3, 4], 1),
        ([math.nan, 0.1, math.nan, math.nan], [2, 3, 4], 2),
        ([math.nan, math.nan, None, None], [2, 3, 4], 2),
        ([-1.0, -2.0, -3.0], [1, 2, 3], 1),
    ],
)
def test_keeps_latest_two_and_best(scores, steps, best, execution, tmp_path):
    write(tmp_path / "a", execution, scores)
    assert kept(tmp_path / "a") == (steps, best)
    # The same after the process ended and began anew between any two saves.
    for score in scores:
        write(tmp_path / "b", execution, [score])
    assert kept(tmp_path / "b") == (steps, best)


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_what_one_mode_wrote_the_other_reads(mode, tmp_path):
    config = ParallelConfig(mode=mode, devices=2)
    writer = make_execution(config)
    write(tmp_path / "checkpoints" / "a", writer, [None])
    for other in ("jit", "pmap"):
        config = ParallelConfig(mode=other, devices=4)
        reader = make_execution(config)
        restored = checkpointing.load_best(tmp_path, "a", abstract(), reader)
        expected = reader.init(lambda _: make_state(1.0), None)
        assert jax.tree.structure(restored.state) == jax.tree.structure(expected)
        found = tree_paths.flatten(restored.state)
        for path, wanted in tree_paths.flatten(expected).items():
            assert (found[path].dtype, found[path].shape) == (
                wanted.dtype,
                wanted.shape,
            )
            assert found[path].sharding.is_equivalent_to(wanted.sharding, wanted.ndim)
        found, wanted = (
            reader.to_host({**state, "key": jax.random.key_data(state["key"])})
            for state in (restored.state, expected)
        )
        jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_restored_state_may_be_donated(execution, tmp_path):
    write(tmp_path / "checkpoints" / "a", execution, [None])
    restored = checkpointing.load_best(tmp_path, "a", abstract(), execution)
    step = execution.compile_step(
        lambda s, b: ({**s, "count": s["count"] + 1}, {"n": s["count"]})
    )
    state, _ = step(restored.state, {})
    assert int(state["count"]) == 8


def test_arrays_without_the_model(execution, tmp_path):
    write(tmp_path / "checkpoints" / "a", execution, [0.1, 0.9, 0.5, 0.4])
    arrays = checkpointing.load_arrays(tmp_path)
    assert all(type(array) is np.ndarray for array in arrays.values())
    np.testing.assert_array_equal(arrays["params/kernel"], np.full((2, 3), 2.0))
    assert arrays["params/low"].dtype == jnp.bfloat16
    assert arrays["empty"].shape == (4, 0)
    assert arrays["count"] == 7
    assert tree_paths.nest(arrays, "params").keys() == {"kernel", "low"}


def test_the_last_phase_is_read_by_default(execution, tmp_path):
    for number, name in enumerate(["warm", "end", "between"][:2]):
        about = {**ABOUT, "phase_number": number}
        folder = tmp_path / "checkpoints" / name
        write(folder, execution, [None] * (number + 1), about=about)
    assert checkpointing.load_arrays(tmp_path)["params/kernel"][0, 0] == 2
    assert checkpointing.load_arrays(tmp_path, "warm")["params/kernel"][0, 0] == 1


def test_nothing_there_is_one_clear_line(execution, tmp_path):
    with pytest.raises(UserError, match="no checkpoint in .*: train first"):
        checkpointing.load_arrays(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no checkpoint in .*/x: train first"):
        checkpointing.load_best(tmp_path, "x", abstract(), execution)
    assert checkpointing.latest_step(tmp_path, "x") is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"params": {"kernel": jnp.zeros((3, 3)), "low": jnp.ones(2, jnp.bfloat16)}},
            r"params/kernel is float32\[2, 3\] there and float32\[3, 3\] here",
        ),
        ({"count": jnp.float32(0)}, r"count is int32\[\] there and float32\[\] here"),
        ({"more": jnp.ones(1)}, "only the model has more"),
        ({"flag": None}, "only the checkpoint has flag"),
    ],
)
def test_another_model_is_refused_by_name(change, message, execution, tmp_path):
    write(tmp_path / "checkpoints" / "a", execution, [None])
    other = jax.eval_shape(lambda: {**make_state(), **change})
    with pytest.raises(UserError, match=message) as error:
        checkpointing.load_best(tmp_path, "a", other, execution)
    assert "\n" not in str(error.value)
    with (
        contextlib.closing(Checkpoints(tmp_path / "checkpoints/a")) as checkpoints,
        pytest.raises(UserError, match=message),
    ):
        checkpoints.restore_latest(other, execution, IDENTITY)


def test_identity_differences_are_named():
    other = {"seed": 0, "model": {"cells": 4, "kind": "ican"}, "data": "x"}
    with pytest.raises(UserError) as error:
        checkpointing.check_identity("W", IDENTITY, other)
    assert str(error.value) == (
        "W was trained with other settings: data was 'nothing', now 'x'; model.cells "
        "was 3, now 4; put them back or use another --workdir"
    )
    # Tuples become lists in JSON; that is no difference.
    checkpointing.check_identity("W", {"a": [1, 2], "b": {}}, {"a": (1, 2), "b": {}})


def test_reading_leaves_a_save_in_flight_alone(execution, tmp_path):
    folder = tmp_path / "checkpoints" / "a"
    write(folder, execution, [None])
    flying = folder / "2.orbax-checkpoint-tmp"
    flying.mkdir()
    checkpointing.load_arrays(tmp_path)
    assert flying.exists()
    assert kept(folder)[0] == [1]
    write(folder, execution, [])
    # Orbax clears it away in a thread of its own.
    end = time.monotonic() + 30
    while flying.exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert not flying.exists()


def test_a_flipped_bit_never_changes_a_number(execution, tmp_path):
    kernel = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)
    with contextlib.closing(Checkpoints(tmp_path / "checkpoints/a")) as checkpoints:
        state = execution.replicate({"kernel": kernel})
        checkpoints.save(1, state, ABOUT, execution)
    refused = 0
    for path in sorted(tmp_path.rglob("state/**/d/*")):
        data = bytearray(path.read_bytes())
        for place in range(0, len(data), max(len(data) // 6, 1)):
            data[place] ^= 1
            path.write_bytes(bytes(data))
            try:
                arrays = checkpointing.load_arrays(tmp_path)
                np.testing.assert_array_equal(arrays["kernel"], kernel)
            except UserError as error:
                assert "is damaged" in str(error)
                refused += 1
            data[place] ^= 1
            path.write_bytes(bytes(data))
    assert refused


def test_arrays_are_compared_with_what_was_saved(execution, tmp_path):
    """The storage format itself may hand out wrong numbers without a word."""
    write(tmp_path / "checkpoints" / "a", execution, [None])
    path = tmp_path / "checkpoints/a/1/about/data.json"
    record = json.loads(path.read_text())["record"]
    assert record["checksums"]["params/kernel"] == zlib.crc32(b"\x00\x00\x80\x3f" * 6)
    record["checksums"]["params/kernel"] += 1
    with pytest.raises(UserError, match="its record is not what was saved"):
        rewrite(path, record, 0)
        checkpointing.load_arrays(tmp_path)
    rewrite(path, record, zlib.crc32(json.dumps(record, sort_keys=True).encode()))
    with pytest.raises(UserError, match="params/kernel is not what was saved"):
        checkpointing.load_arrays(tmp_path)
    with pytest.raises(UserError, match="params/kernel is not what was saved"):
        checkpointing.load_best(tmp_path, "a", abstract(), execution)


def rewrite(path, record, checksum):
    path.write_text(json.dumps({"record": record, "checksum": checksum}))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"record": 1}', '"x"', "\xff"])
def test_any_other_record_is_damage(text, execution, tmp_path):
    write(tmp_path / "checkpoints" / "a", execution, [None])
    path = tmp_path / "checkpoints/a/1/about/data.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match="is damaged .its (about|record)"):
        checkpointing.load_arrays(tmp_path)


def test_damaged_best_costs_only_itself(execution, tmp_path, caplog):
    folder = tmp_path / "checkpoints" / "a"
    write(folder, execution, [0.9, 0.1, 0.2])
    (folder / "1" / "about" / "data.json").write_text("{")
    assert kept(folder) == ([1, 2, 3], 3)
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        assert checkpoints.restore_latest(abstract(), execution, IDENTITY).step == 3


def test_ctrl_c_while_reading_is_no_damage(execution, tmp_path, monkeypatch):
    """Orbax catches it in its event loop and raises an error of its own."""
    folder = tmp_path / "checkpoints" / "a"
    write(folder, execution, [0.9, 0.1])

    def load(*arguments):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise ValueError("no entry") from error

    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        monkeypatch.setattr(checkpoints._orbax, "load_checkpointables", load)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.restore_latest(abstract(), execution, IDENTITY)
    assert kept(folder)[0] == [1, 2]
    assert not (tmp_path / "checkpoints" / checkpointing.DAMAGED).exists()


def test_no_other_takes_the_place_of_an_unreadable_best(execution, tmp_path):
    folder = tmp_path / "checkpoints" / "a"
    write(folder, execution, [0.9, 0.1, 0.2])
    (folder / "1" / "about" / "data.json").write_text("{")
    with pytest.raises(UserError, match=r"a/1 is damaged .* remove it to go on"):
        checkpointing.load_arrays(tmp_path)
    shutil.rmtree(folder / "1")
    found = checkpointing.load_arrays(tmp_path)["params/kernel"]
    np.testing.assert_array_equal(found, make_state(3.0)["params"]["kernel"])


def test_the_record_is_plain_json(execution, tmp_path):
    write(tmp_path / "checkpoints" / "a", execution, [0.25])
    text = (tmp_path / "checkpoints/a/1/about/data.json").read_text()
    record = json.loads(text)["record"]
    assert record["score"] == 0.25
    assert record["identity"] == IDENTITY
    assert record["leaves"]["params/low"] == [[2], "bfloat16"]
