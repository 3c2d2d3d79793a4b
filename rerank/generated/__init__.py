"""The generated search results."""
