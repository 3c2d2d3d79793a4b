"""Orders of lists: proposed, searched for, bound, and answered."""
