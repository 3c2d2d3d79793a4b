"""Lists: scores of all items, the best of them, indexes."""
