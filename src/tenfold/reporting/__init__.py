"""Records in, one self-contained HTML page and its figures out; no torch."""
