"""Weights that were trained with PyTorch, loaded and saved without it."""

from common.pretrained.backbones import backbone_of_kind, save_backbone
from common.pretrained.fusion import fusion_from_torch
from common.pretrained.resnet import resnet_from_torch, resnet_of_depth, save_resnet

__all__ = [
    "backbone_of_kind",
    "fusion_from_torch",
    "resnet_from_torch",
    "resnet_of_depth",
    "save_backbone",
    "save_resnet",
]
