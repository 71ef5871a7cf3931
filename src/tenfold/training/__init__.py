"""One training, from settings to weights."""
