"""Layers and networks that systems build models from."""
