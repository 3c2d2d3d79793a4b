"""Entry points: thin absl programs; nothing imports them."""
