"""From tables and photos to batches; the only package that imports grain and tfds."""
