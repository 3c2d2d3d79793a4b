"""The built-in data set: a bazaar of second-hand goods with good and bad photos."""
