"""Weights that were trained with PyTorch, loaded and saved without it."""

from common.pretrained.backbones import (
    backbone_from_torch,
    backbone_of_name,
    save_backbone,
)
from common.pretrained.fusion import fusion_from_torch

__all__ = [
    "backbone_from_torch",
    "backbone_of_name",
    "fusion_from_torch",
    "save_backbone",
]
