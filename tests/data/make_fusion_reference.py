"""Writes fusion_reference.npz: what the BLOCK authors' own code computes.

Runs the original PyTorch classes of the package block.bootstrap.pytorch, version
0.1.6, in float64 and stores inputs, weights, outputs and input gradients. The source
distribution (BSD licence) has sha256
91d137248c23970e058195ae20531e83257d3cbca83278e21faafac96f4000fb.
It needs torch and the unpacked distribution; the tests need neither. Usage:

    python tests/data/make_fusion_reference.py block.bootstrap.pytorch-0.1.6 OUT.npz

Nothing of the distribution is changed. Its packages are entered without their
`__init__` files, which import a training framework, and three functions that torch
has dropped since are given back for the count sketches of MCB.
"""

import importlib
import json
import pathlib
import sys
import types

import numpy as np
import torch

WIDTHS = {"input_dims": [6, 5], "output_dim": 4}
EQUAL = {"input_dims": [6, 6], "output_dim": 4}
BLOCKS = {**WIDTHS, "mm_dim": 12, "chunks": 3}
UNEVEN = [(10, 3), (10, 7), (7, 2)]

CASES: list[tuple[str, dict]] = [
    ("Block", {**BLOCKS, "rank": 2}),
    ("Block", {**BLOCKS, "rank": 1}),
    ("Block", {**BLOCKS, "rank": 3, "pos_norm": "after_cat"}),
    ("Block", {**BLOCKS, "rank": 2, "chunks": 1}),
    ("Block", {**EQUAL, "mm_dim": 12, "chunks": 4, "rank": 2, "shared": True}),
    ("Block", {**EQUAL, "mm_dim": 10, "chunks": 7, "rank": 2, "shared": True}),
    ("BlockTucker", BLOCKS),
    ("BlockTucker", {**BLOCKS, "chunks": 6}),
    ("BlockTucker", {**BLOCKS, "pos_norm": "after_cat"}),
    ("BlockTucker", {**EQUAL, "mm_dim": 9, "chunks": 3, "shared": True}),
    *[("Block", {**WIDTHS, "mm_dim": m, "chunks": c, "rank": 3}) for m, c in UNEVEN],
    *[("BlockTucker", {**WIDTHS, "mm_dim": m, "chunks": c}) for m, c in UNEVEN],
    ("BlockTucker", {**WIDTHS, "mm_dim": 10, "chunks": 7, "pos_norm": "after_cat"}),
    ("Mutan", {**WIDTHS, "mm_dim": 7, "rank": 3}),
    ("Mutan", {**WIDTHS, "mm_dim": 7, "rank": 1}),
    ("Mutan", {**WIDTHS, "mm_dim": 7, "rank": 2, "normalize": True}),
    ("Mutan", {**EQUAL, "mm_dim": 7, "rank": 2, "shared": True}),
    ("Tucker", {**WIDTHS, "mm_dim": 5}),
    ("Tucker", {**WIDTHS, "mm_dim": 5, "normalize": True}),
    ("Tucker", {**EQUAL, "mm_dim": 5, "shared": True}),
    ("MCB", {**WIDTHS, "mm_dim": 16}),
    ("MCB", {**WIDTHS, "mm_dim": 15, "activ_output": None}),
    ("ConcatMLP", {**WIDTHS, "dimensions": [7, 8]}),
    ("ConcatMLP", {**WIDTHS, "dimensions": [7], "activation": "tanh"}),
    ("ConcatMLP", {**WIDTHS, "dimensions": [7, 6, 5], "activation": "sigmoid"}),
]
for _kind, _more in {
    "MLB": {},
    "LinearSum": {},
    "MFB": {"factor": 3},
    "MFH": {"factor": 3},
}.items():
    _base = {**WIDTHS, "mm_dim": 8, **_more}
    CASES += [
        (_kind, _base),
        (_kind, {**_base, "normalize": True}),
        (_kind, {**_base, "activ_input": None, "activ_output": None}),
        (_kind, {**_base, "activ_input": "tanh", "activ_output": "sigmoid"}),
        (_kind, {**_base, "normalize": True, "activ_input": None}),
    ]


def import_fusions(distribution: pathlib.Path) -> types.ModuleType:
    """Imports the authors' module without the `__init__` files on the way."""
    path = distribution
    name = ""
    for part in ("block", "models", "networks", "fusions"):
        path = path / part
        name = f"{name}.{part}".lstrip(".")
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    return importlib.import_module(f"{name}.fusions")


def restore_dropped_functions() -> None:
    """Gives torch back what the authors' count sketches call."""

    def rfft(signal, dimensions):
        assert dimensions == 1
        return torch.view_as_real(torch.fft.rfft(signal))

    def irfft(spectrum, dimensions, signal_sizes):
        assert dimensions == 1
        complete = torch.view_as_complex(spectrum.contiguous())
        return torch.fft.irfft(complete, n=signal_sizes[0])

    addcmul = torch.addcmul
    torch.rfft = rfft
    torch.irfft = irfft
    torch.addcmul = lambda base, scale, a, b: addcmul(base, a, b, value=scale)


def make_inputs(rng, widths, batch: int = 5) -> list[np.ndarray]:
    """Two inputs with exact zeros: in one side's row, in both, and strewn about."""
    sides = [rng.normal(size=(batch, width)) for width in widths]
    sides[0][1] = 0.0
    sides[0][2] = 0.0
    sides[1][2] = 0.0
    sides[1][3, ::2] = 0.0
    return [coarse(side) for side in sides]


def coarse(array: np.ndarray) -> np.ndarray:
    """Rounds to multiples of 2^-10, which compress well and are exact in float32."""
    return np.round(array * 1024) / 1024


def draw_weights(module, rng, biased: bool) -> None:
    """Gives a module random weights of about unit gain."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            scale = 0.8 if name.endswith("bias") else 1 / np.sqrt(parameter.shape[-1])
            values = coarse(rng.normal(size=tuple(parameter.shape)) * scale)
            if name.endswith("bias") and not biased:
                values *= 0
            parameter.copy_(torch.from_numpy(values))


def run_module(module, inputs, cotangent, dtype) -> dict[str, np.ndarray]:
    """Output, and gradients of the output's product with the cotangent."""
    module = module.to(dtype).eval()
    sides = [torch.from_numpy(side).to(dtype).requires_grad_() for side in inputs]
    output = module(list(sides))
    weight = torch.from_numpy(cotangent).to(dtype)
    gradient0, gradient1 = torch.autograd.grad(output, sides, weight)
    return {
        "output": output.detach().numpy(),
        "gradient0": gradient0.numpy(),
        "gradient1": gradient1.numpy(),
    }


def run_case(module, options: dict, rng, biased: bool) -> dict[str, np.ndarray]:
    """Everything a test needs of one class with some options.

    The root of the norms is steep near zero, so now and then rounding alone moves a
    float32 gradient by more than a test allows. Such draws are passed over, judged by
    the authors' code itself run in both precisions.
    """
    for _ in range(100):
        draw_weights(module, rng, biased)
        inputs = make_inputs(rng, options["input_dims"])
        shape = (len(inputs[0]), options["output_dim"])
        cotangent = coarse(rng.normal(size=shape))
        single = run_module(module, inputs, cotangent, torch.float32)
        double = run_module(module, inputs, cotangent, torch.float64)
        assert all(np.isfinite(array).all() for array in double.values())
        if all(
            np.abs(single[name] - double[name]).max()
            < 1e-5 * np.abs(double[name]).max()
            for name in double
        ):
            break
    else:
        raise RuntimeError(f"no well-conditioned draw for {options}")
    weights = {f"weights/{k}": v.numpy() for k, v in module.state_dict().items()}
    sides = {"x0": inputs[0], "x1": inputs[1], "cotangent": cotangent}
    return {**sides, **double, **weights}


def main(distribution: str, target: str) -> None:
    """Runs every case, with and without biases, and writes the file."""
    fusions = import_fusions(pathlib.Path(distribution))
    restore_dropped_functions()
    manifest = []
    arrays: dict[str, np.ndarray] = {}
    for kind, options in CASES:
        # Without biases the zero rows of the inputs stay zero up to the norms.
        for biased in (True, False):
            number = len(manifest)
            torch.manual_seed(number)
            rng = np.random.default_rng(number)
            module = getattr(fusions, kind)(**options)
            case = run_case(module, options, rng, biased)
            manifest.append({"kind": kind, "options": options, "biased": biased})
            arrays |= {f"{number}/{name}": array for name, array in case.items()}
    arrays["manifest"] = np.array(json.dumps(manifest))
    np.savez_compressed(target, **arrays)
    print(f"{len(manifest)} cases, {pathlib.Path(target).stat().st_size} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
