"""Configuration: frozen dataclasses whose fields are flags."""
