"""Writes resnet_reference.npz: small ResNets of transformers, run once by torch.

Needs torch and transformers; written with torch 2.13.0 and transformers 5.23.0 by
`python tests/data/make_resnet_reference.py`.

For each kind of block the file holds the state dict (float32 numbers), images and
what the float64 model makes of them in evaluation and in training mode: the feature
map, the gradient of sum(map * weights) with respect to the images, and the running
statistics after one training step. Feature maps are small enough for the products
that replace convolutions there, and have odd sides.
"""

import pathlib

import numpy as np
import torch
from transformers import ResNetConfig, ResNetModel

KINDS = {
    "basic": {"embedding_size": 4, "hidden_sizes": [4, 6, 8, 10]},
    "bottleneck": {"embedding_size": 4, "hidden_sizes": [8, 12, 12, 16]},
}
BLOCKS = [2, 1, 2, 1]


def randomise(model: torch.nn.Module) -> None:
    """Gives the normalisations parameters and statistics that are not 0 and 1."""
    for name, value in model.state_dict().items():
        if "normalization" in name and value.is_floating_point():
            value.uniform_(0.5, 1.5)
            if name.endswith(("bias", "running_mean")):
                value.sub_(1.0)


def run(model: torch.nn.Module, images: np.ndarray, weights: np.ndarray | None):
    """Returns feature map [B, h, w, C], image gradient [B, H, W, 3] and weights."""
    inputs = torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
    features = model(inputs).last_hidden_state.permute(0, 2, 3, 1)  # [B, h, w, C]
    if weights is None:
        weights = np.random.default_rng(1).normal(size=features.shape)
    (features * torch.tensor(weights)).sum().backward()
    gradient = inputs.grad.permute(0, 2, 3, 1)  # [B, H, W, 3]
    return features.detach().numpy(), gradient.numpy(), weights


def main() -> None:
    """Runs both kinds and writes the file beside this one."""
    torch.manual_seed(0)
    arrays = {}
    images = np.random.default_rng(0).normal(size=(3, 44, 72, 3))
    arrays["images"] = images
    for kind, sizes in KINDS.items():
        config = ResNetConfig(layer_type=kind, depths=BLOCKS, **sizes)
        model = ResNetModel(config)
        randomise(model)
        for name, value in model.state_dict().items():
            arrays[f"{kind}/state/{name}"] = value.numpy().copy()
        model = model.double()
        weights = None
        for mode in ("eval", "train"):
            model.train(mode == "train")
            features, gradient, weights = run(model, images, weights)
            arrays[f"{kind}/{mode}/features"] = features
            arrays[f"{kind}/{mode}/gradient"] = gradient
        arrays[f"{kind}/weights"] = weights
        for name, value in model.state_dict().items():
            if "running" in name:
                arrays[f"{kind}/after/{name}"] = value.numpy()
    path = pathlib.Path(__file__).with_name("resnet_reference.npz")
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    main()
