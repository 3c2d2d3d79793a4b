import functools

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from common.errors import UserError
from common.layers import resnet
from common.pretrained import (
    arrangement,
    backbone_from_torch,
    save_backbone,
    torch_files,
)
from common.pretrained.resnet import torch_name


@functools.cache
def random_variables(depth):
    """Numbers of every place their own, drawn without compiling the network."""
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    shapes = jax.eval_shape(resnet.ResNet(depth).init, jax.random.key(0), image)
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda s: rng.random(s.shape, np.float32), shapes)


def torchvision_state(depth):
    """A state dict of torchvision: classifier and counters of batches included."""
    network = resnet.ResNet(depth)
    tensors = arrangement.to_tensors(network, torch_name, random_variables(depth))
    width = resnet.SIZES[depth].width
    counters = {
        name.replace("running_mean", "num_batches_tracked"): np.asarray(5)
        for name in tensors
        if name.endswith("running_mean")
    }
    head = {"fc.weight": np.zeros((10, width)), "fc.bias": np.zeros(10)}
    return tensors | counters | head


def transformers_state(depth, prefix):
    """The same with the names of transformers, each written out here by hand."""
    renamed = {}
    for name, array in torchvision_state(depth).items():
        words = name.split(".")
        leaf = words[-1]
        if words[0] == "fc":
            new = f"classifier.1.{leaf}"
        elif words[0] in ("conv1", "bn1"):
            part = {"conv1": "convolution", "bn1": "normalization"}[words[0]]
            new = f"{prefix}embedder.embedder.{part}.{leaf}"
        else:
            stage, block = int(words[0].removeprefix("layer")) - 1, words[1]
            place = f"{prefix}encoder.stages.{stage}.layers.{block}"
            if words[2] == "downsample":
                part = ["convolution", "normalization"][int(words[3])]
                new = f"{place}.shortcut.{part}.{leaf}"
            else:
                kind, number = words[2][:-1], int(words[2][-1]) - 1
                part = {"conv": "convolution", "bn": "normalization"}[kind]
                new = f"{place}.layer.{number}.{part}.{leaf}"
        renamed[new] = array
    return renamed


def assert_equal(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("depth", ["tiny", "18", "34"])
def test_round_trip_is_exact(tmp_path, depth):
    path = tmp_path / "weights.safetensors"
    save_backbone(path, depth, random_variables(depth))
    found_depth, found = backbone_from_torch(path)
    assert found_depth == depth
    assert_equal(found, random_variables(depth))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_first_stages_alone_are_read_and_written(tmp_path):
    variables = random_variables("18")
    save_backbone(tmp_path / "whole.safetensors", "18", variables)
    depth, first = backbone_from_torch(tmp_path / "whole.safetensors", stages=2)
    blocks = {f"stage{stage}_block{block}" for stage in (1, 2) for block in (0, 1)}
    assert first["params"].keys() == first["batch_stats"].keys() == {"stem", *blocks}
    wanted = {c: {name: variables[c][name] for name in first[c]} for c in first}
    assert depth == "18"
    assert_equal(first, wanted)
    sizes = resnet.SIZES["18"].up_to(2)
    save_backbone(tmp_path / "part.safetensors", sizes, first)
    depth, found = backbone_from_torch(tmp_path / "part.safetensors")
    assert depth == "18"
    assert_equal(found, wanted)


def test_a_fifth_stage_is_no_resnet(tmp_path):
    tensors = torchvision_state("18")
    tensors["layer5.0.conv1.weight"] = np.ones((1, 1, 3, 3), np.float32)
    path = tmp_path / "more.safetensors"
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(UserError, match="it also holds layer5.0.conv1.weight"):
        backbone_from_torch(path, stages=2)


def test_a_stage_left_out_between_others_is_no_resnet(tmp_path):
    tensors = torchvision_state("18")
    tensors = {k: v for k, v in tensors.items() if not k.startswith("layer2.")}
    path = tmp_path / "gap.safetensors"
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(UserError, match=r"\(2, 0, 2, 2\) blocks"):
        backbone_from_torch(path)


def test_one_flipped_bit_is_found(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_backbone(path, "tiny", random_variables("tiny"))
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="its tensors are not those that were saved"):
        backbone_from_torch(path)


def test_saved_names_and_layout_are_torchvisions(tmp_path):
    path = tmp_path / "weights.safetensors"
    variables = random_variables("18")
    save_backbone(path, "18", variables)
    tensors = torch_files.read(path)
    kernel = variables["params"]["stage3_block1"]["unit2"]["convolution"]["kernel"]
    saved = tensors["layer3.1.conv2.weight"]
    assert saved.shape == (256, 256, 3, 3)
    assert saved[5, 7, 0, 2] == kernel[0, 2, 7, 5]
    stem = variables["params"]["stem"]["convolution"]["kernel"]
    assert tensors["conv1.weight"][60, 1, 6, 2] == stem[6, 2, 1, 60]
    norm = variables["batch_stats"]["stage2_block0"]["shortcut"]["norm"]
    np.testing.assert_array_equal(
        tensors["layer2.0.downsample.1.running_var"], norm["var"]
    )


@pytest.mark.parametrize("depth", ["18", "50"])
@pytest.mark.parametrize("names", ["torchvision", "data parallel", "base", "headed"])
def test_names_of_other_libraries(tmp_path, depth, names):
    state = {
        "torchvision": lambda: torchvision_state(depth),
        "data parallel": lambda: {
            f"module.{name}": array for name, array in torchvision_state(depth).items()
        },
        "base": lambda: transformers_state(depth, ""),
        "headed": lambda: transformers_state(depth, "resnet."),
    }[names]()
    path = tmp_path / "weights.npz"
    np.savez(path, **state)
    found_depth, found = backbone_from_torch(path)
    assert found_depth == depth
    assert_equal(found, random_variables(depth))


def test_half_precision_becomes_float32(tmp_path):
    path = tmp_path / "weights.safetensors"
    state = {
        name: array.astype(ml_dtypes.bfloat16)
        for name, array in torchvision_state("tiny").items()
    }
    path.write_bytes(safetensors.numpy.save(state))
    _, found = backbone_from_torch(path)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype(np.float32)}
    expected = jax.tree.map(
        lambda a: a.astype(ml_dtypes.bfloat16).astype(np.float32),
        random_variables("tiny"),
    )
    assert_equal(found, expected)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda s: s.pop("layer2.0.bn1.bias"),
            r"lacks layer2.0.bn1.bias \(1 such",
        ),
        (lambda s: s.update({"neck.weight": np.ones(2)}), "also holds neck.weight"),
        (lambda s: s.update({"conv1.weight": np.ones((16, 3, 5, 5))}), "conv1.weight"),
        (lambda s: s.update({"bn1.bias": np.ones(16, int)}), "bn1.bias is int64"),
        (lambda s: s.update({"layer1.1.conv1.weight": np.ones(1)}), "no ResNet of"),
        (lambda s: s.update({"conv1.weight": np.float32(1)}), "no ResNet of"),
        (lambda s: s.clear() or s.update(a=np.ones(1)), "first tensors: a"),
    ],
)
def test_other_tensors_are_named(tmp_path, change, match):
    state = torchvision_state("tiny")
    change(state)
    path = tmp_path / "weights.npz"
    np.savez(path, **state)
    with pytest.raises(UserError, match=match) as caught:
        backbone_from_torch(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_variables_of_another_depth_are_not_saved(tmp_path):
    path = tmp_path / "weights.safetensors"
    with pytest.raises(ValueError, match="not those"):
        save_backbone(path, "18", random_variables("34"))
    assert not path.exists()


def test_torch_loads_what_was_saved(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "weights.safetensors"
    save_backbone(path, "tiny", random_variables("tiny"))
    safetensors_torch = pytest.importorskip("safetensors.torch")
    loaded = safetensors_torch.load_file(path)
    assert loaded["bn1.running_mean"].dtype == torch.float32
    # And the other way: torch's own file of it.
    torch.save(loaded, tmp_path / "weights.pth")
    assert_equal(
        backbone_from_torch(tmp_path / "weights.pth"),
        ("tiny", random_variables("tiny")),
    )
