"""Users, items, interactions and features: read, checked and split."""
