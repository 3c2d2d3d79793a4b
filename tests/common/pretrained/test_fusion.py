"""Fusions loaded from PyTorch weights, against the authors' own code.

tests/data/fusion_reference.npz was written by make_fusion_reference.py beside it.
"""

import functools
import json
import pathlib

import hypothesis
import jax
import numpy as np
import pytest

from common.errors import UserError
from common.pretrained.fusion import fusion_from_torch, split_sizes
from common.pretrained.fusion_options import OPTIONS

REFERENCE = pathlib.Path(__file__).parents[2] / "data" / "fusion_reference.npz"
INPUTS = ("x0", "x1", "cotangent")
GRADIENTS = ("gradient0", "gradient1")


def read_cases() -> list[dict]:
    with np.load(REFERENCE) as file:
        cases = json.loads(str(file["manifest"]))
        for case in cases:
            case["arrays"] = {}
        for name in file.files:
            if name != "manifest":
                number, _, rest = name.partition("/")
                cases[int(number)]["arrays"][rest] = file[name]
    for case in cases:
        arrays = case["arrays"]
        case["weights"] = {
            name.removeprefix("weights/"): arrays.pop(name)
            for name in list(arrays)
            if name.startswith("weights/")
        }
    return cases


CASES = read_cases()


@functools.partial(jax.jit, static_argnums=0)
def run_module(module, variables, x0, x1, cotangent):
    output, pull = jax.vjp(lambda *x: module.apply(variables, *x), x0, x1)
    return {"output": output, **dict(zip(GRADIENTS, pull(cotangent), strict=True))}


def run_ours(case: dict, dtype) -> dict[str, np.ndarray]:
    weights = {
        name: array.astype(dtype) if array.dtype.kind == "f" else array
        for name, array in case["weights"].items()
    }
    module, variables = fusion_from_torch(case["kind"], case["options"], weights)
    inputs = [case["arrays"][name].astype(dtype) for name in INPUTS]
    results = run_module(module, variables, *inputs)
    assert all(result.dtype == dtype for result in results.values())
    return results


def assert_close(ours: dict, case: dict, tolerance: float) -> None:
    for name, result in ours.items():
        expected = case["arrays"][name]
        error = np.abs(np.asarray(result) - expected).max()
        assert error <= tolerance * max(np.abs(expected).max(), 1e-3), (
            f"{name} of {case['kind']} {case['options']}: error {error}"
        )


def test_reference_covers_every_kind_and_both_signs_of_every_switch():
    assert {case["kind"] for case in CASES} == set(OPTIONS)
    seen = {(k, str(v)) for case in CASES for k, v in case["options"].items()}
    assert ("shared", "True") in seen and ("pos_norm", "after_cat") in seen
    assert ("normalize", "True") in seen and ("activ_input", "None") in seen


@pytest.mark.parametrize("kind", OPTIONS)
def test_agrees_with_authors_code_in_float64(kind):
    with jax.enable_x64(True):
        for case in CASES:
            if case["kind"] == kind:
                assert_close(run_ours(case, np.float64), case, 1e-10)


@pytest.mark.parametrize("kind", OPTIONS)
def test_agrees_with_authors_code_in_float32(kind):
    for case in CASES:
        if case["kind"] == kind:
            assert_close(run_ours(case, np.float32), case, 1e-4)


@pytest.mark.parametrize(
    ("width", "chunks", "sizes"),
    [
        (12, 3, (4, 4, 4)),
        (10, 3, (4, 4, 2)),
        (10, 7, (2, 2, 2, 1, 1, 1, 1)),
        (7, 2, (4, 3)),
        (5, 1, (5,)),
    ],
)
def test_split_sizes_by_hand(width, chunks, sizes):
    assert split_sizes(width, chunks) == sizes


@pytest.mark.parametrize(("width", "chunks"), [(4, 3), (3, 5), (16, 9), (1, 2)])
def test_split_sizes_refuses_empty_blocks(width, chunks):
    with pytest.raises(UserError, match=f"{width} over {chunks} chunks"):
        split_sizes(width, chunks)


@hypothesis.given(
    width=hypothesis.strategies.integers(1, 200),
    chunks=hypothesis.strategies.integers(1, 40),
)
def test_split_sizes_cover_the_width_or_refuse(width, chunks):
    try:
        sizes = split_sizes(width, chunks)
    except UserError:
        return
    assert sum(sizes) == width and len(sizes) == chunks
    assert min(sizes) > 0 and list(sizes) == sorted(sizes, reverse=True)
    assert len(set(sizes)) <= 2


def find_case(kind: str, **wanted) -> dict:
    for case in CASES:
        options = case["options"]
        if case["kind"] == kind and all(options.get(k) == v for k, v in wanted.items()):
            return case
    raise LookupError(kind, wanted)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("Block", {"input": "projected", "pre_lin": "fused", "output": "output"}),
        ("BlockTucker", {"input": "projected", "pre_lin": "fused", "output": "output"}),
        ("Mutan", {"input": "projected", "pre_lin": "fused", "output": "output"}),
        ("Tucker", {"input": "projected", "pre_lin": "fused", "output": "output"}),
        ("MLB", {"input": "projected", "pre_lin": "fused", "output": "output"}),
        ("LinearSum", {"input": "projected", "pre_lin": "fused", "output": "output"}),
        ("MFB", {"input": "projected", "pre_norm": "product", "output": "output"}),
        ("MFH", {"input": "projected", "pre_lin": "product", "output": "output"}),
        ("MCB", {"output": "output"}),
    ],
)
def test_dropout_rates_land_in_their_place(kind, names):
    case = find_case(kind)
    rates = {f"dropout_{name}": 0.1 * i for i, name in enumerate(names, start=1)}
    options = {**case["options"], **rates}
    module, _ = fusion_from_torch(kind, options, case["weights"])
    for theirs, ours in names.items():
        assert getattr(module, f"dropout_{ours}") == rates[f"dropout_{theirs}"]


def test_concat_mlp_takes_its_dropout_rate():
    case = find_case("ConcatMLP")
    options = {**case["options"], "dropout": 0.3}
    assert fusion_from_torch("ConcatMLP", options, case["weights"])[0].dropout == 0.3


class ArrayLike:
    """What a tensor of another library looks like to NumPy."""

    def __init__(self, array):
        self._array = array
        self.shape = array.shape

    def __array__(self, dtype=None, copy=None):
        return np.array(self._array, dtype=dtype)


class Unreadable:
    shape = (8, 6)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("tensor lives on another device")


def test_half_precision_array_likes_become_float32():
    case = find_case("MLB")
    halves = {k: ArrayLike(v.astype(np.float16)) for k, v in case["weights"].items()}
    _, variables = fusion_from_torch("MLB", case["options"], halves)
    kernel = variables["params"]["project_x"]["linear"]["kernel"]
    assert kernel.dtype == np.float32
    expected = case["weights"]["linear0.weight"].astype(np.float16).T
    np.testing.assert_array_equal(kernel, expected.astype(np.float32))


def test_shared_weights_need_only_one_name():
    case = find_case("Block", shared=True)
    once = {k: v for k, v in case["weights"].items() if "linear1" not in k}
    once = {k: v for k, v in once.items() if "linears1" not in k}
    assert len(once) < len(case["weights"])
    all_names = fusion_from_torch("Block", case["options"], case["weights"])
    one_name = fusion_from_torch("Block", case["options"], once)
    assert all_names[0] == one_name[0]
    jax.tree.map(np.testing.assert_array_equal, all_names[1], one_name[1])


def load_mlb(options=None, weights=None, kind="MLB"):
    case = find_case("MLB")
    return fusion_from_torch(
        kind,
        {**case["options"], **(options or {})},
        {**case["weights"], **(weights or {})},
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mm_dims": 3}, "MLB has no option 'mm_dims'"),
        ({"mm_dim": 0}, "'mm_dim' must be a positive whole number, not 0"),
        ({"mm_dim": True}, "'mm_dim' must be a positive whole number"),
        ({"output_dim": 2.5}, "'output_dim' must be a positive whole number"),
        ({"normalize": 1}, "'normalize' must be true or false"),
        ({"dropout_input": 1.0}, r"'dropout_input' must be a rate in \[0, 1\)"),
        ({"dropout_input": float("nan")}, "must be a rate"),
        ({"activ_input": "swish"}, "'activ_input' must be None or one of relu"),
        ({"input_dims": [6]}, "'input_dims' must hold 2 widths"),
        ({"input_dims": 6}, "'input_dims' must be a list"),
        ({"input_dims": [6, -1]}, "'input_dims' must be a list"),
        ({"mm_dim": 9}, "'linear0.weight' has shape .8, 6., but .* say .9, 6."),
    ],
)
def test_wrong_options_give_one_clear_line(options, message):
    with pytest.raises(UserError, match=message) as caught:
        load_mlb(options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"linear2.weight": np.zeros(3)}, "'linear2.weight' has no place"),
        ({"linear0.weight": np.full((8, 6), "a")}, "'linear0.weight' has type <U1"),
        ({"linear0.weight": Unreadable()}, "cannot be read .*another device"),
    ],
)
def test_wrong_tensors_give_one_clear_line(weights, message):
    with pytest.raises(UserError, match=message) as caught:
        load_mlb(weights=weights)
    assert "\n" not in str(caught.value)


def test_other_mistakes_give_one_clear_line():
    case = find_case("MLB")
    with pytest.raises(UserError, match="kind 'Blok' is unknown: choose one of Block,"):
        load_mlb(kind="Blok")
    with pytest.raises(UserError, match="option 'output_dim' is missing"):
        fusion_from_torch("MLB", {"input_dims": [6, 5]}, case["weights"])
    with pytest.raises(UserError, match="tensor 'linear0.weight' is missing"):
        fusion_from_torch("MLB", case["options"], {})
    case = find_case("Block", pos_norm="after_cat")
    with pytest.raises(UserError, match="'pos_norm' must be before_cat or after_cat"):
        options = {**case["options"], "pos_norm": "after"}
        fusion_from_torch("Block", options, case["weights"])
    with pytest.raises(UserError, match="'shared' needs two equal widths"):
        options = {**case["options"], "shared": True}
        fusion_from_torch("Block", options, case["weights"])
    with pytest.raises(UserError, match="12 over 13 chunks leaves an empty block"):
        fusion_from_torch("Block", {**case["options"], "chunks": 13}, case["weights"])


def test_shared_weights_that_differ_are_refused():
    case = find_case("Mutan", shared=True)
    weights = {**case["weights"], "linear1.bias": case["weights"]["linear1.bias"] + 1}
    with pytest.raises(UserError, match="'linear1.bias' differs from 'linear0.bias'"):
        fusion_from_torch("Mutan", case["options"], weights)


def test_sketch_outside_its_length_is_refused():
    case = find_case("MCB", mm_dim=16)
    weights = {**case["weights"], "mcb.sketch2.h": np.full(5, 16)}
    with pytest.raises(UserError, match=r"mcb.sketch2.h is not within 0 .. 15"):
        fusion_from_torch("MCB", case["options"], weights)
