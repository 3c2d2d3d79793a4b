"""The paper's tables: rows, printed figures, claims, rivals."""
