"""The report's figures, one file a family: each draws with a palette and gives a Figure."""
