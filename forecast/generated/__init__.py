"""The built-in panel `demand`."""
