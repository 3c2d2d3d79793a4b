"""The published table: rows, printed figures, claims."""
