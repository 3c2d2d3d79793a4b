"""Own backbones: a network trained to name the class of a photo.

For where no published weights are at hand: its feature maps, frozen or as a start,
serve the systems (`--backbone.weights=…/backbone.safetensors`).
"""
