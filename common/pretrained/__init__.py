"""Weights that were trained with PyTorch, loaded and saved without it."""

from common.pretrained.fusion import fusion_from_torch
from common.pretrained.resnet import resnet_from_torch, resnet_of_depth, save_resnet

__all__ = ["fusion_from_torch", "resnet_from_torch", "resnet_of_depth", "save_resnet"]
