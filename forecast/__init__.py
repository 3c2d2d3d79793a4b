"""forecast: probabilistic forecasts of many series at once, with normalizing flows."""
