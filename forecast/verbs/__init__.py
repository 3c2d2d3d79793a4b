"""What `--mode=` does, one file a mode."""
