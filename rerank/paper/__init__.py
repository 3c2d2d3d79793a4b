"""Tables, claims and rivals."""
