"""One file a --mode, named as the mode."""
