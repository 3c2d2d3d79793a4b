"""Normalizing flows: invertible maps whose log-determinant is known."""
