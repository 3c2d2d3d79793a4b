"""Requests and items: what they are, and how they are read."""
