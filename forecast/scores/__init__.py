"""The parts of `forecast.metrics`."""
