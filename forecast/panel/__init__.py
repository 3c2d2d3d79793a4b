"""Panels: many series on one grid of time, and how they are read."""
