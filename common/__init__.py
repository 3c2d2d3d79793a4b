"""Building blocks that two or more systems use; knows no system."""
