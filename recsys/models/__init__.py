"""Scores of a user and an item, one model a file."""
