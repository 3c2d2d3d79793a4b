"""Files of weights that are damaged, of another network, or out to do harm."""

import dataclasses
import functools
import io
import os
import pathlib
import pickle
import tempfile
import zipfile
from collections.abc import Callable, Iterator

import jax
import numpy as np
import safetensors.numpy

from common import pretrained
from common.layers import resnet
from common.pretrained import torch_files
from tests.integration.bad_input import damage
from tests.integration.bad_input.bench import REFUSED, WORKS, Bench, Case, expect

Tensors = dict[str, np.ndarray]
_TORCH = pathlib.Path(__file__).parents[2] / "data"


def write_backbone(path: pathlib.Path) -> None:
    """Writes random weights of the tiny ResNet."""
    network = resnet.ResNet("tiny")
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)
    shapes = jax.eval_shape(network.init, jax.random.key(0), image)
    rng = np.random.default_rng(0)

    def draw(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        # Small kernels; scales and variances of one.
        spread = 0.1 if len(leaf.shape) > 1 else 0.0
        return rng.normal(1.0 - 10 * spread, spread, leaf.shape).astype(np.float32)

    variables = jax.tree.map(draw, shapes)
    pretrained.save_backbone(path, "tiny", variables)


@functools.cache
def _backbone() -> tuple[bytes, Tensors]:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "weights.safetensors"
        write_backbone(path)
        return path.read_bytes(), torch_files.read(path)


@dataclasses.dataclass(frozen=True)
class _WeightsCase:
    """Reads a file as a ResNet."""

    content: bytes
    wanted: tuple[str, ...] = (REFUSED,)

    def __call__(self, bench: Bench) -> str:
        path = bench.write("weights", self.content)
        mark = bench.folder / "executed"
        ending = bench.call(lambda: pretrained.backbone_from_torch(path), str(path))
        assert not mark.exists()
        return expect(ending, *self.wanted)


def _saved(tensors: Tensors) -> bytes:
    return safetensors.numpy.save(tensors)


def _zipped(tensors: Tensors) -> bytes:
    file = io.BytesIO()
    np.savez(file, **tensors)
    return file.getvalue()


class _Evil:
    """Unpickled, it creates a folder."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


def _pickles() -> Iterator[tuple[str, bytes]]:
    for protocol in (0, 2, 4):
        evil = pickle.dumps({"weight": _Evil()}, protocol)
        yield f"evil pickle {protocol}", evil
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("model/data.pkl", evil)
        yield f"evil pickle {protocol} in a zip", file.getvalue()
    objects = {"weight": np.array([None, _Evil()], object)}
    file = io.BytesIO()
    np.savez(file, **objects)
    yield "evil object in an npz", file.getvalue()


def _edits() -> Iterator[tuple[str, Callable[[Tensors], object]]]:
    def put(name: str, array: np.ndarray) -> Callable[[Tensors], object]:
        return lambda tensors: tensors.__setitem__(name, array)

    yield "no tensors", lambda tensors: tensors.clear()
    yield "no stem", lambda tensors: tensors.pop("conv1.weight")
    yield "one tensor less", lambda tensors: tensors.pop("layer2.0.bn1.running_var")
    yield "a block more", put("layer9.0.conv1.weight", np.ones(3, np.float32))
    yield "a stem of no axes", put("conv1.weight", np.array(1, np.float32))
    yield "a stem of other size", put("conv1.weight", np.ones((8, 3, 5, 5), np.float32))
    yield "integers", put("bn1.weight", np.ones(8, np.int64))
    yield "empty tensor", put("bn1.weight", np.ones(0, np.float32))


def _files() -> Iterator[tuple[str, _WeightsCase]]:
    whole, tensors = _backbone()
    yield "good", _WeightsCase(whole, (WORKS,))
    yield "good npz", _WeightsCase(_zipped(tensors), (WORKS,))
    for name, change in _edits():
        changed = dict(tensors)
        change(changed)
        yield name, _WeightsCase(_saved(changed))
    for name, content in _pickles():
        yield name, _WeightsCase(content)
    for name in ("torch_zip.pth", "torch_legacy.pth"):
        content = (_TORCH / name).read_bytes()
        yield f"another network {name}", _WeightsCase(content)
        yield f"cut {name}", _WeightsCase(content[: len(content) // 2])
    yield "empty", _WeightsCase(b"")
    yield "text", _WeightsCase(b"version https://git-lfs.github.com/spec/v1\n")
    yield "header that claims too much", _WeightsCase(b"\xff" * 8 + b"{}")
    yield "deep header", _WeightsCase((60_000).to_bytes(8, "little") + b"[" * 60_000)
    for seed in range(12):
        way = damage.WAYS[seed % len(damage.WAYS)]
        # Zeros in the place of zeros are no damage.
        yield f"{way.__name__} {seed}", _WeightsCase(way(whole, seed), (REFUSED, WORKS))


def weights_cases(count: int) -> Iterator[Case]:
    """Files given as the weights of a backbone."""
    found = list(_files())
    assert len(found) >= count, len(found)
    for name, run in found[:count]:
        yield Case("weights", name, run)
