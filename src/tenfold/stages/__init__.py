"""The stages of a study: one file each, found by its name."""
