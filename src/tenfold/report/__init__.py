"""Facts in, one page out."""
