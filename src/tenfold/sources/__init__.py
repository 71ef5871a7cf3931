"""Where data sets come from: one file a source, found by its name or by the path given."""
