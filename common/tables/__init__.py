"""Tables of listings: reading, schema, cells, encoders, splits."""
