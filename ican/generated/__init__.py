"""The built-in data set: rings whose prices follow from photo and attributes."""
